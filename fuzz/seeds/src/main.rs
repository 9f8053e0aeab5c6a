//! Writes the inputs from which the targets begin: `seeds DIRECTORY TARGET`; what is there stays.

use std::error::Error;
use std::fs;
use std::path::Path;

use tar::{Builder, EntryType, Header};

/// What a real pmxcfs said: to a new client, and to one that asked for files.
const RECORDED: [&[u8]; 3] = [
    include_bytes!("../../../crates/pvect-native/fixtures/pmxcfs/welcome.bin"),
    include_bytes!("../../../crates/pvect-native/fixtures/pmxcfs/ring-header.bin"),
    include_bytes!("../../../crates/pvect-native/fixtures/pmxcfs/answers.bin"),
];

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [directory, target] = words.as_slice() else { return Err("usage: seeds DIRECTORY TARGET".into()) };
    let seeds: Vec<Vec<u8>> = match target.as_str() {
        "tar" => vec![archive(Header::new_gnu)?, archive(Header::new_ustar)?, sparse()?],
        "oci" => vec![image()?],
        "pmxcfs" => RECORDED.iter().map(|bytes| bytes.to_vec()).collect(),
        _ => texts(target).iter().map(|text| text.as_bytes().to_vec()).collect(),
    };
    for (number, seed) in seeds.iter().enumerate() {
        let path = Path::new(directory).join(format!("seed-{number}"));
        if !path.exists() {
            fs::write(path, seed)?;
        }
    }
    Ok(())
}

/// Members of each kind, with long names and extended headers.
fn archive(header: fn() -> Header) -> std::io::Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    let mut add = |name: &str, kind: EntryType, link: Option<&str>, data: &[u8]| {
        let mut header = header();
        header.set_entry_type(kind);
        header.set_mode(0o4755);
        header.set_uid(0);
        header.set_gid(42);
        header.set_mtime(1);
        header.set_size(data.len() as u64);
        let _ = header.set_device_major(1);
        let _ = header.set_device_minor(3);
        match link {
            Some(link) => tar.append_link(&mut header, name, link),
            None => tar.append_data(&mut header, name, data),
        }
    };
    add("./", EntryType::Directory, None, b"")?;
    add("etc/", EntryType::Directory, None, b"")?;
    add("etc/vzdump/pct.conf", EntryType::Regular, None, b"arch: amd64\nmemory: 64\n")?;
    add("etc/out", EntryType::Symlink, Some("../../../beside"), b"")?;
    add("etc/out", EntryType::Regular, None, b"x")?;
    add("hard", EntryType::Link, Some("etc/vzdump/pct.conf"), b"")?;
    add("hard2", EntryType::Link, Some("../beside"), b"")?;
    add("up", EntryType::Symlink, Some(".."), b"")?;
    add("up/beside", EntryType::Regular, None, b"x")?;
    add("pipe", EntryType::Fifo, None, b"")?;
    add("dev/null", EntryType::Char, None, b"")?;
    add("null", EntryType::Char, None, b"")?;
    if header().as_gnu().is_some() {
        add(&format!("long/{}", "n".repeat(200)), EntryType::Regular, None, b"x")?;
    } else {
        let acl: &[u8] = b"user::rwx,user:7:r--,group::r-x,mask::r-x,other::r-x";
        tar.append_pax_extensions([
            ("path", &b"pax/na\nme"[..]),
            ("SCHILY.xattr.user.a", b"one\n9 path=x\n"),
            ("SCHILY.xattr.security.capability", b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
            ("SCHILY.acl.access", acl),
            ("mtime", b"1700000000.123456789"),
        ])?;
        let mut header = header();
        header.set_size(3);
        tar.append_data(&mut header, "short", &b"abc"[..])?;
    }
    tar.into_inner()
}

/// A sparse file of the old form.
fn sparse() -> std::io::Result<Vec<u8>> {
    let mut header = Header::new_gnu();
    header.set_path("holes")?;
    header.set_entry_type(EntryType::GNUSparse);
    header.set_mode(0o644);
    header.set_size(512);
    if let Some(gnu) = header.as_gnu_mut() {
        gnu.realsize.copy_from_slice(b"000000040000");
        gnu.sparse[0].offset.copy_from_slice(b"000000010000");
        gnu.sparse[0].numbytes.copy_from_slice(b"000000001000");
        gnu.sparse[1].offset.copy_from_slice(b"000000040000");
        gnu.sparse[1].numbytes.copy_from_slice(b"000000000000");
    }
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend([7; 512]);
    bytes.extend([0; 1024]);
    Ok(bytes)
}

/// A configuration and two layers, as the target `oci` takes them apart.
fn image() -> std::io::Result<Vec<u8>> {
    let mut bytes = br#"{"config":{"Entrypoint":["/bin/sh","-c"],"Cmd":["x"],"Env":["A=b"],"User":"1:1","WorkingDir":"/srv","StopSignal":"SIGINT","Volumes":{"/data":{}}}}"#
        .to_vec();
    bytes.push(0);
    bytes.extend(archive(Header::new_ustar)?);
    bytes.extend([0xff; 8]);
    let mut tar = Builder::new(Vec::new());
    for name in ["etc/.wh.out", "etc/.wh..wh..opq", ".wh.up", ".wh...", "up/.wh.beside"] {
        let mut header = Header::new_ustar();
        header.set_size(0);
        tar.append_data(&mut header, name, &b""[..])?;
    }
    bytes.extend(tar.into_inner()?);
    Ok(bytes)
}

/// Texts that the other targets understand.
fn texts(target: &str) -> &'static [&'static str] {
    match target {
        "config_parse" => &[
            "#a note\narch: amd64\ncores: 2\nfeatures: nesting=1,keyctl=1\nhostname: one\nmemory: 512\nmp0: local:101/vm-101-disk-1.raw,mp=/data,size=1G\nnet0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,ip=dhcp,type=veth\nostype: debian\nrootfs: local:101/vm-101-disk-0.raw,size=4G\nswap: 0\ntags: a;b\nunprivileged: 1\nlxc.cap.drop: sys_admin\n\n[pve:pending]\nmemory: 64\ndelete: cores\n\n[snap]\nsnaptime: 1700000000\nhostname: one\n",
        ],
        "config_output" => {
            &["arch: amd64\ndescription: a%0Ab\nmemory: 512\nlxc: [[\"lxc.cap.drop\",\"x\"]]\n"]
        }
        "property_string" => &["name=eth0,bridge=vmbr0,ip=dhcp", "volume=local:1,mp=/data", "local:4"],
        "pct_list" => &[
            "VMID       Status     Lock         Name                \n101        running    backup       one                 \n",
            "status: running\n",
            "cur memory: 512\nnew memory: 1024\n",
        ],
        "upid" => {
            &["UPID:vm:0000C350:0012D687:64A5B6C7:vzstart:101:root@pam:", "4G", "a;b c,d", "a%0Ab", "%\0Q\n"]
        }
        "storage_cfg" => &[
            "dir: local\n\tpath /var/lib/vz\n\tcontent rootdir,vztmpl,backup\n\nlvmthin: thin\n\tvgname pve\n\tthinpool data\n\tdisable 1\n",
        ],
        "api_request" => &[
            "\u{2}/nodes/vm/lxc/101/config\nvmid=101&memory=64\ndelete=a&delete=b&net0=name%3Deth0",
            "\u{3}/nodes/vm/lxc\n\n{\"vmid\":101,\"ostemplate\":\"local:vztmpl/a.tar\",\"env\":[\"A=b\",\"C=d\"]}",
        ],
        _ => &[],
    }
}
