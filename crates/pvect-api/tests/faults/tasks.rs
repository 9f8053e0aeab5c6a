//! Tasks: followed, lost, found again.

use pvect_core::CheckedCall;

use super::*;

const UPID: &str = "UPID:pve1:0000C0DE:00A1B2C3:67000000:vzstart:101:ci@pve!test:";

#[derive(Default)]
struct Lines(Vec<String>);

impl Events for Lines {
    fn log(&mut self, line: &str) {
        self.0.push(line.to_owned());
    }

    fn warning(&mut self, _: &str) {}
}

fn call() -> Call {
    Call::on(Verb::Start, Vmid::try_from(101).unwrap())
}

fn checked(call: Call) -> CheckedCall {
    CheckedCall::unchecked(call)
}

fn backend(config: ApiConfig) -> ApiBackend {
    ApiBackend::new(Api::new(config).unwrap(), Some("pve1".parse().unwrap()))
}

/// A task that has `lines` and ends after `looks` looks at its state.
fn task(
    looks: usize,
    lines: &'static [&'static str],
    end: &'static str,
) -> impl Fn(&scripted::Asked, usize) -> Reply + Send + Sync + 'static {
    let seen = AtomicUsize::new(0);
    move |asked, _| {
        if asked.line.starts_with("POST") {
            return data(&format!("\"{UPID}\""));
        }
        if asked.line.ends_with("/status") {
            return if seen.fetch_add(1, Ordering::SeqCst) >= looks {
                data(&format!(r#"{{"status":"stopped","exitstatus":"{end}","upid":"{UPID}"}}"#))
            } else {
                data(&format!(r#"{{"status":"running","upid":"{UPID}"}}"#))
            };
        }
        let start: usize = asked
            .head
            .split_once("start=")
            .and_then(|(_, rest)| rest.split(['&', ' ']).next()?.parse().ok())
            .unwrap_or(0);
        let entries: Vec<String> = lines
            .iter()
            .enumerate()
            .skip(start)
            .map(|(n, line)| format!(r#"{{"n":{},"t":"{line}"}}"#, n + 1))
            .collect();
        data(&format!("[{}]", entries.join(",")))
    }
}

#[tokio::test]
async fn the_log_comes_once_and_warnings_are_no_failure() {
    let lines =
        &["explicitly configured lxc.apparmor.profile overrides", "WARN: old feature", "TASK WARNINGS: 1"];
    let server = Server::start(task(2, lines, "WARNINGS: 1")).await;
    let mut log = Lines::default();
    let outcome = backend(config(&server)).operate(&checked(call()), &mut log).await.unwrap();
    assert_eq!(log.0, lines[..2]);
    assert_eq!((outcome.status, outcome.warnings), (0, vec!["old feature".to_owned()]));
}

#[tokio::test]
async fn a_failed_task_is_a_failure_with_its_log() {
    let server =
        Server::start(task(0, &["mounting", "TASK ERROR: CT is locked (backup)"], "CT is locked (backup)"))
            .await;
    let error = backend(config(&server)).operate(&checked(call()), &mut Lines::default()).await.unwrap_err();
    assert_eq!(shown(&error), "locked 4: CT is locked (backup)");
    assert_eq!(error.run().map(|run| run.stdout.as_str()), Some("mounting\n"));
}

#[tokio::test]
async fn the_watch_goes_on_when_the_server_comes_back() {
    let server = Server::start(task(usize::MAX, &["one"], "OK")).await;
    let backend = backend(config(&server));
    let running = tokio::spawn(async move {
        let mut log = Lines::default();
        let outcome = backend.operate(&checked(call()), &mut log).await;
        (outcome, log.0)
    });
    while server.lines().len() < 5 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(server.lines().iter().filter(|line| line.starts_with("POST")).count(), 1);
    let (address, certificate) = server.kill().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let server = Server::at(address, certificate, task(0, &["one", "two"], "OK")).await;
    let (outcome, log) = running.await.unwrap();
    assert_eq!(outcome.unwrap().status, 0);
    assert_eq!(log, ["one", "two"]);
    assert!(server.lines().iter().all(|line| line.starts_with("GET")), "{:?}", server.lines());
}

#[tokio::test]
async fn a_server_that_stays_away_leaves_the_task_running() {
    let server = Server::start(task(usize::MAX, &["one"], "OK")).await;
    let mut config = config(&server);
    config.patience = Duration::from_millis(500);
    let backend = backend(config);
    let running = tokio::spawn(async move { backend.operate(&checked(call()), &mut Lines::default()).await });
    while server.lines().len() < 3 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server.kill().await;
    let error = running.await.unwrap().unwrap_err();
    assert_eq!(
        shown(&error),
        format!(
            "connection_lost 7: the connection to 'pve1' was lost: the task {UPID} could not be watched any more: \
             cannot connect to 127.0.0.1:PORT: Connection refused; the command may have run"
        )
    );
    assert_eq!(error.run().map(|run| run.stdout.as_str()), Some("one\n"));
}

#[tokio::test]
async fn a_task_that_does_not_end_is_left_at_the_limit() {
    let server = Server::start(task(usize::MAX, &[], "OK")).await;
    let mut config = config(&server);
    config.timeout = Some(Duration::from_millis(400));
    let error = backend(config).operate(&checked(call()), &mut Lines::default()).await.unwrap_err();
    assert_eq!(shown(&error), format!("pct_timeout 6: the task has not ended after 0 s and goes on: {UPID}"));
}

#[tokio::test]
async fn a_container_that_moves_is_found_again() {
    let server = Server::start(|asked, before| match asked.line.as_str() {
        "GET /api2/json/cluster/resources" => {
            let node = if before == 0 { "pve1" } else { "pve2" };
            data(&format!(r#"[{{"type":"lxc","vmid":101,"node":"{node}","status":"running"}},{{"type":"qemu","vmid":102,"node":"pve1"}}]"#))
        }
        "GET /api2/json/nodes/pve2/lxc/101/status/current" => data(r#"{"vmid":101,"status":"running"}"#),
        _ => status(500, "Configuration file 'nodes/pve1/lxc/101.conf' does not exist", ""),
    })
    .await;
    let backend = ApiBackend::new(api(&server), None);
    let status = backend.status(Vmid::try_from(101).unwrap()).await.unwrap();
    assert_eq!(status.status.to_string(), "running");
    let error = backend.status(Vmid::try_from(102).unwrap()).await.unwrap_err();
    assert_eq!(shown(&error), "unsupported 9: 102 is a virtual machine; pvect manages containers only");
    let error = backend.status(Vmid::try_from(103).unwrap()).await.unwrap_err();
    assert_eq!(shown(&error), "not_found 3: there is no container 103");
}

#[tokio::test]
async fn no_secret_is_logged() {
    use std::io::Write;
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);
    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let kept = Kept::default();
    let writer = kept.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing_subscriber::util::SubscriberInitExt::set_default(subscriber);
    // As long as there is but one subscriber, the thread that comes to a place first decides whether it logs: that of
    // another test, which has none.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
    let server = Server::start(with_login(|_, _| Reply::Close)).await;
    let mut config = config(&server);
    config.credentials = password(None);
    let api = Api::new(config).unwrap();
    failure(&api, &version()).await;
    let secret =
        Request::new(Method::Post, "/nodes/pve1/lxc").secret("password", "hunter22".to_owned().into());
    failure(&api, &secret).await;
    assert!(!format!("{api:?}").contains("hunter22"));
    drop(guard);
    let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("again"), "{text}");
    for secret in ["hunter22", "secret-ticket", "secret-csrf"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

/// What is seen of a log that may have no end.
#[derive(Default)]
struct Counted {
    lines: usize,
    bytes: usize,
    longest: usize,
    warnings: Vec<String>,
}

impl Events for Counted {
    fn log(&mut self, line: &str) {
        self.lines += 1;
        self.bytes += line.len();
        self.longest = self.longest.max(line.len());
    }

    fn warning(&mut self, text: &str) {
        self.warnings.push(text.to_owned());
    }
}

/// A task whose log always has one page more.
fn endless(state: &'static str, line: &'static str) -> Script {
    Box::new(move |asked, _| {
        if asked.line.starts_with("POST") {
            return data(&format!("\"{UPID}\""));
        }
        if asked.line.ends_with("/status") {
            return data(state);
        }
        let start = start_of(asked);
        let entries: Vec<String> =
            (start + 1..=start + 500).map(|n| format!(r#"{{"n":{n},"t":"{line}"}}"#)).collect();
        data(&format!("[{}]", entries.join(",")))
    })
}

type Script = Box<dyn Fn(&scripted::Asked, usize) -> Reply + Send + Sync>;

fn start_of(asked: &scripted::Asked) -> usize {
    let text = asked.head.split_once("start=").map(|(_, rest)| rest);
    text.and_then(|rest| rest.split(['&', ' ']).next()?.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn a_log_without_end_ends_at_the_limit() {
    let server = Server::start(endless(r#"{"status":"running"}"#, "more")).await;
    let mut config = config(&server);
    config.timeout = Some(Duration::from_millis(1500));
    let began = std::time::Instant::now();
    let mut seen = Counted::default();
    let error = backend(config).operate(&checked(call()), &mut seen).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(shown(&error).starts_with("pct_timeout 6: the task has not ended after 2 s and goes on: "));
    assert!(seen.lines >= 500, "{}", seen.lines);
}

#[tokio::test]
async fn of_a_long_log_the_beginning_and_the_end_are_kept() {
    static LINE: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| "x".repeat(1000));
    let server = Server::start(endless(r#"{"status":"stopped","exitstatus":"OK"}"#, LINE.as_str())).await;
    let mut seen = Counted::default();
    let outcome = backend(config(&server)).operate(&checked(call()), &mut seen).await.unwrap();
    // So many pages are read at one look; the rest is named.
    assert_eq!(seen.lines, 50_000);
    assert_eq!(seen.warnings, [format!("the log goes on after line 50000: {UPID}")]);
    let kept = String::from_utf8(outcome.stdout).unwrap();
    assert!(kept.len() < 4 * 1024 * 1024 + 1000 && kept.len() > 3 * 1024 * 1024, "{}", kept.len());
    let omission = kept.lines().find(|line| line.contains("lines left out"));
    assert!(omission.is_some_and(|line| line.starts_with("[... 4")), "{omission:?}");
}

#[tokio::test]
async fn a_log_that_does_not_get_on_is_left() {
    let server = Server::start(|asked, _| {
        if asked.line.starts_with("POST") {
            return data(&format!("\"{UPID}\""));
        }
        if asked.line.ends_with("/status") {
            return data(r#"{"status":"stopped","exitstatus":"OK"}"#);
        }
        let page: Vec<String> = (1..=500).map(|n| format!(r#"{{"n":{n},"t":"again"}}"#)).collect();
        data(&format!("[{}]", page.join(",")))
    })
    .await;
    let mut seen = Counted::default();
    backend(config(&server)).operate(&checked(call()), &mut seen).await.unwrap();
    assert_eq!((seen.lines, server.lines().len()), (500, 4));
}

#[tokio::test]
async fn short_pages_of_an_ended_task_are_read_to_the_end() {
    let server = Server::start(|asked, _| {
        if asked.line.starts_with("POST") {
            return data(&format!("\"{UPID}\""));
        }
        if asked.line.ends_with("/status") {
            return data(r#"{"status":"stopped","exitstatus":"OK"}"#);
        }
        match start_of(asked) {
            start @ 0..3 => data(&format!(r#"[{{"n":{},"t":"long"}}]"#, start + 1)),
            3 => data(r#"[{"n":4,"t":"TASK OK"}]"#),
            _ => data("[]"),
        }
    })
    .await;
    let mut seen = Counted::default();
    backend(config(&server)).operate(&checked(call()), &mut seen).await.unwrap();
    assert_eq!(seen.lines, 3);
}

#[tokio::test]
async fn what_is_too_much_is_cut_or_no_answer() {
    let long = "y".repeat(300_000);
    let end = "z".repeat(300_000);
    let text = (long.clone(), end.clone());
    let server = Server::start(move |asked, _| {
        if asked.line.starts_with("POST") {
            return data(&format!("\"{UPID}\""));
        }
        if asked.line.ends_with("/status") {
            return data(&format!(r#"{{"status":"stopped","exitstatus":"{}"}}"#, text.1));
        }
        match start_of(asked) {
            0 => data(&format!(r#"[{{"n":1,"t":"{}"}}]"#, text.0)),
            _ => data("[]"),
        }
    })
    .await;
    let mut seen = Counted::default();
    let error = backend(config(&server)).operate(&checked(call()), &mut seen).await.unwrap_err();
    assert!(
        seen.longest < 70_000 && shown(&error).len() < 20_000,
        "{} {}",
        seen.longest,
        shown(&error).len()
    );
    assert!(shown(&error).ends_with("bytes left out]"), "{}", shown(&error));
    let server = Server::start(|asked, _| {
        if asked.line.starts_with("POST") {
            return data(&format!("\"{UPID}\""));
        }
        if asked.line.ends_with("/status") {
            return data(r#"{"status":"running"}"#);
        }
        let page: Vec<String> = (1..=5000).map(|n| format!(r#"{{"n":{n},"t":""}}"#)).collect();
        data(&format!("[{}]", page.join(",")))
    })
    .await;
    let error = backend(config(&server)).operate(&checked(call()), &mut Lines::default()).await.unwrap_err();
    assert!(shown(&error).contains("5000 lines of a log where 500 were asked for"), "{}", shown(&error));
    let server = Server::start(|_, _| data("\"UPID:pve1:what:\"")).await;
    let error = backend(config(&server)).operate(&checked(call()), &mut Lines::default()).await.unwrap_err();
    assert!(shown(&error).contains("the task may have begun"), "{}", shown(&error));
}

#[tokio::test]
async fn an_answer_that_drips_ends_at_the_limit() {
    let server = Server::start(|asked, _| {
        if asked.line.starts_with("POST") {
            return data(&format!("\"{UPID}\""));
        }
        if asked.line.ends_with("/status") {
            return data(r#"{"status":"running"}"#);
        }
        Reply::Drip(Duration::from_millis(100))
    })
    .await;
    let mut config = config(&server);
    config.timeout = Some(Duration::from_millis(1200));
    let began = std::time::Instant::now();
    let error = backend(config).operate(&checked(call()), &mut Lines::default()).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(shown(&error).starts_with("pct_timeout 6: the task has not ended after 1 s and goes on: "));
}

#[tokio::test]
async fn logins_hosts_and_reads_share_one_limit() {
    let drip = |_: &scripted::Asked, _: usize| Reply::Drip(Duration::from_millis(100));
    let (one, two) = (Server::start(drip).await, Server::start(drip).await);
    let mut config = config(&one);
    config.hosts.push(two.host());
    config.credentials = password(None);
    config.timeout = Some(Duration::from_millis(2500));
    let began = std::time::Instant::now();
    backend(config).operate(&checked(call()), &mut Lines::default()).await.unwrap_err();
    // A limit for each would be twice as long.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
