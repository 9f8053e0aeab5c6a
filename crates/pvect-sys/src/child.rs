//! What a process hands on to a program that it starts or becomes: descriptors, and the session with its terminal.

use std::io;
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The first descriptor that is none of stdin, stdout and stderr.
const FIRST: libc::c_uint = 3;
/// The most descriptors that are looked at one by one where the kernel cannot mark all at once.
const MOST: libc::rlim_t = 1 << 20;

/// Marks every open descriptor above stderr: programs that this process starts, or becomes, do not get it.
///
/// For the start of a process: what its caller left open is nobody's business further down. Source: close_range(2),
/// Linux 5.11; older kernels are asked for one descriptor after another.
///
/// # Errors
/// Those of getrlimit(2), on such an old kernel.
pub fn close_on_exec() -> io::Result<()> {
    // SAFETY: the call takes numbers only, and changes nothing but the flag of descriptors that are open.
    let result =
        unsafe { libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result == 0 {
        return Ok(());
    }
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure lives through the call, which writes to it and to nothing else.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    for number in 3..RawFd::try_from(limit.rlim_cur.min(MOST)).unwrap_or(RawFd::MAX) {
        // SAFETY: as above; a number that is not open is an error without consequences.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
}

/// Has the command run in a session of its own, which has no terminal: `/dev/tty` is ENXIO there, whoever opens it.
///
/// It leads a process group of its own, too.
pub fn new_session(command: &mut Command) {
    let begin = || {
        // SAFETY: the call has no arguments; it fails for the leader of a process group, which a new process is not.
        if unsafe { libc::setsid() } == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: between fork and exec the closure makes one system call; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(begin) };
}

/// Has the command inherit no descriptor above stderr but those in `keep`: what its words name as `/dev/fd/N`.
pub fn inherit_only(command: &mut Command, keep: Vec<RawFd>) {
    let begin = move || {
        close_on_exec()?;
        for number in &keep {
            // SAFETY: the call takes numbers only; one that is not open is an error without consequences.
            unsafe { libc::fcntl(*number, libc::F_SETFD, 0) };
        }
        Ok(())
    };
    // SAFETY: as in `new_session`; system calls only.
    unsafe { command.pre_exec(begin) };
}

/// Has the command killed when the thread that starts it ends, also by SIGKILL.
pub fn die_with_parent(command: &mut Command) {
    let parent = std::process::id();
    let begin = move || {
        // SAFETY: the call takes numbers only.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } == -1 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call has no arguments and cannot fail.
        let now = unsafe { libc::getppid() };
        // It may have ended before it was asked about.
        if u32::try_from(now) == Ok(parent) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    };
    // SAFETY: as in `new_session`; the errors hold no allocation either.
    unsafe { command.pre_exec(begin) };
}

/// Returns whether this process ignores a signal, as nohup(1) has it and shells for what runs in the background.
pub fn is_ignored(signal: i32) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: nothing is set, and the old action is written to memory of its size that lives through the call.
    if unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: the call has filled it, and all zeros are a valid value.
    unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    /// What a shell says of its session and of a descriptor.
    fn seen(command: &mut Command) -> String {
        let output = command.output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    #[test]
    fn a_session_has_no_terminal_and_only_chosen_descriptors_go_along() {
        let (reader, _writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        rustix::io::fcntl_setfd(&reader, rustix::io::FdFlags::empty()).unwrap();
        let number = reader.as_raw_fd();
        let script = format!(
            "read pid name state parent group session tty rest </proc/self/stat
             test $$ = $group && test $$ = $session && test $tty = 0 && echo alone
             test -e /proc/self/fd/{number} && echo open"
        );
        let shell = || {
            let mut shell = Command::new("/bin/bash");
            shell.args(["-c", &script]);
            shell
        };
        assert_eq!(seen(&mut shell()), "open\n");
        let mut apart = shell();
        new_session(&mut apart);
        inherit_only(&mut apart, Vec::new());
        assert_eq!(seen(&mut apart), "alone\n");
        let mut keeping = shell();
        inherit_only(&mut keeping, vec![number]);
        assert_eq!(seen(&mut keeping), "open\n");
        close_on_exec().unwrap();
        assert_eq!(rustix::io::fcntl_getfd(&reader).unwrap(), rustix::io::FdFlags::CLOEXEC);
        assert_eq!(seen(&mut shell()), "");
    }

    #[test]
    fn a_command_that_dies_with_us_starts() {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "echo started"]);
        die_with_parent(&mut shell);
        assert_eq!(seen(&mut shell), "started\n");
    }

    #[test]
    fn an_ignored_signal_is_known() {
        let script = "trap '' HUP; exec \"$0\" --exact child::tests::hup --ignored";
        let program = std::env::current_exe().unwrap();
        let status = Command::new("/bin/sh").arg("-c").arg(script).arg(program).output().unwrap();
        assert!(status.status.success(), "{status:?}");
    }

    #[test]
    #[ignore = "run where SIGHUP is ignored"]
    fn hup() {
        assert!(is_ignored(libc::SIGHUP));
    }
}
