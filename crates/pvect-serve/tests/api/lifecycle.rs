//! A container's life through pvect-api, by token and by password.

use pvect_api::{Api, ApiBackend, ApiConfig, Credentials, Host, Method, Request, Trust};
use pvect_core::backend::ConfigView;
use pvect_core::{Call, CheckedCall, ErrorKind, Inspect, Operate, RunState, Verb};
use pvect_testkit::{TestNode, TestServer, node_or_skip};

fn backend(server: &TestServer, credentials: Credentials) -> ApiBackend {
    let host = Host { name: "127.0.0.1".to_owned(), port: server.port };
    let mut config = ApiConfig::new(vec![host], credentials);
    config.trust = Trust::Fingerprint(server.fingerprint.parse().unwrap());
    ApiBackend::new(Api::new(config).unwrap(), None)
}

async fn life(api: &ApiBackend, template: &str, vmid: u32, user: &str) {
    let vmid = pvect_core::Vmid::try_from(vmid).unwrap();
    let on = |verb| Call::on(verb, vmid);
    let create = on(Verb::Create)
        .arg(template)
        .option("rootfs", "local:0.1")
        .option("hostname", "web")
        .option("memory", "64")
        .secret("password", "hunter22".to_owned().into());
    api.operate(&checked(create.clone()), &mut ()).await.unwrap();
    api.operate(&checked(on(Verb::Start)), &mut ()).await.unwrap();
    let status = api.status(vmid).await.unwrap();
    assert_eq!((status.status, status.maxmem), (RunState::Running, Some(64 << 20)));
    assert!(status.pid.is_some());
    let again = api.operate(&checked(on(Verb::Start)), &mut ()).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyRunning);
    api.operate(&checked(on(Verb::Set).option("memory", "96").option("tags", "b;a")), &mut ()).await.unwrap();
    let config = api.config(vmid, &ConfigView::Pending).await.unwrap();
    assert_eq!(config.main.get("memory").as_deref(), Some("96"));
    assert_eq!(config.main.get("tags").as_deref(), Some("a;b"));
    let refused = api.operate(&checked(on(Verb::Snapshot).arg("s1")), &mut ()).await.unwrap_err();
    assert!(refused.to_string().contains("snapshot feature is not available"), "{refused}");
    api.operate(&checked(on(Verb::Stop)), &mut ()).await.unwrap();
    let copy = pvect_core::Vmid::try_from(u32::from(vmid) + 1).unwrap();
    api.operate(&checked(on(Verb::Clone).arg(copy.to_string()).option("hostname", "copy")), &mut ())
        .await
        .unwrap();
    let names: Vec<String> = api.list().await.unwrap().into_iter().map(|row| row.name).collect();
    assert_eq!(names, ["web", "copy"]);
    for one in [vmid, copy] {
        api.operate(&checked(Call::on(Verb::Destroy, one).flag("purge", true)), &mut ()).await.unwrap();
    }
    assert_eq!(api.list().await.unwrap(), []);
    let tasks = api.api().send(&Request::get("/nodes/vm/tasks").param("userfilter", user)).await.unwrap();
    let done: Vec<String> = tasks
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|task| format!("{} {}", task["type"].as_str().unwrap(), task["status"].as_str().unwrap()))
        .collect();
    for expected in ["vzcreate OK", "vzstart OK", "vzstop OK", "vzclone OK", "vzdestroy OK"] {
        assert!(done.iter().any(|task| task == expected), "{done:?}");
    }
}

fn run(node: &TestNode, credentials: Credentials, vmid: u32, user: &str) {
    let template = node.busybox();
    let server = TestServer::start(node);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(life(&backend(&server, credentials), &template, vmid, user));
    assert_eq!(server.stop(), 0);
}

async fn snapshots(api: &ApiBackend, template: &str) {
    let vmid = pvect_core::Vmid::try_from(171).unwrap();
    let on = |verb| Call::on(verb, vmid);
    let run = async |call: Call| api.operate(&checked(call), &mut ()).await;
    run(on(Verb::Create).arg(template).option("rootfs", "fast:0.1").option("memory", "64")).await.unwrap();
    let has = async |feature: &str| {
        let path = format!("/nodes/vm/lxc/{vmid}/feature");
        let answer = api.api().send(&Request::get(&path).param("feature", feature)).await.unwrap();
        answer["hasFeature"].clone()
    };
    assert_eq!(
        (has("snapshot").await, has("clone").await, has("copy").await),
        (true.into(), true.into(), true.into())
    );
    run(on(Verb::Snapshot).arg("s1").option("description", "before")).await.unwrap();
    run(on(Verb::Set).option("memory", "96")).await.unwrap();
    let again = run(on(Verb::Snapshot).arg("s1")).await.unwrap_err();
    assert!(again.to_string().contains("snapshot name 's1' already used"), "{again}");
    let path = format!("/nodes/vm/lxc/{vmid}/snapshot/s1/config");
    api.api().send(&Request::new(Method::Put, &path).param("description", "after")).await.unwrap();
    let config = api.config(vmid, &ConfigView::Snapshot("s1".parse().unwrap())).await.unwrap();
    assert_eq!(config.main.description.as_deref(), Some("after\n"));
    run(on(Verb::Rollback).arg("s1")).await.unwrap();
    let config = api.config(vmid, &ConfigView::Pending).await.unwrap();
    assert_eq!(
        (config.main.get("memory").as_deref(), config.main.get("parent").as_deref()),
        (Some("64"), Some("s1"))
    );
    run(on(Verb::Delsnapshot).arg("s1")).await.unwrap();
    run(on(Verb::MoveVolume).arg("rootfs").arg("local").flag("delete", true)).await.unwrap();
    assert_eq!(has("snapshot").await, false);
    run(on(Verb::Destroy)).await.unwrap();
}

#[test]
fn snapshots_through_the_api() {
    let node = node_or_skip!();
    if let Err(reason) = node.btrfs("fast", 256) {
        return pvect_testkit::skipped("snapshots_through_the_api", &reason);
    }
    let token = node.token("root@pam!ci", false);
    let template = node.busybox();
    let server = TestServer::start(&node);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(snapshots(&backend(&server, Credentials::Token(token.into())), &template));
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_life_by_token() {
    let node = node_or_skip!();
    let token = node.token("root@pam!ci", false);
    run(&node, Credentials::Token(token.into()), 151, "root@pam!ci");
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

#[test]
fn a_life_by_password() {
    let node = node_or_skip!();
    node.user("root@pam", "hunter22");
    let password = "hunter22".to_owned().into();
    let credentials = Credentials::Password { user: "root@pam".to_owned(), password, code: None };
    run(&node, credentials, 161, "root@pam");
}

#[test]
fn a_task_goes_on_without_its_client_and_its_server() {
    let node = node_or_skip!();
    let token = node.token("root@pam!ci", false);
    let template = node.busybox();
    let server = TestServer::start(&node);
    let header = format!("Authorization: PVEAPIToken={token}");
    let body = format!("vmid=171&ostemplate={template}&rootfs=local:0.1&hostname=web");
    let answer = crate::raw::request(
        &node,
        &server,
        "POST /api2/json/nodes/vm/lxc",
        &[&header, "Content-Type: application/x-www-form-urlencoded"],
        &body,
    );
    assert!(answer.contains(":vzcreate:171:root@pam!ci:\""), "{answer}");
    assert_eq!(server.stop(), 0);
    let upid = answer.split('"').find(|word| word.starts_with("UPID:")).unwrap().to_owned();
    let server = TestServer::start(&node);
    let path = format!("GET /api2/json/nodes/vm/tasks/{upid}/status");
    let ended = (0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        let status = crate::raw::request(&node, &server, &path, &[&header], "");
        status.contains("\"status\":\"stopped\",\"exitstatus\":\"OK\"")
    });
    assert!(ended, "the task did not end well");
    assert!(node.config_file(171).exists());
}

#[test]
fn a_task_is_ended_when_that_is_asked() {
    let node = node_or_skip!();
    let token = node.token("root@pam!ci", false);
    let template = node.busybox();
    node.pct(&["create", "172", &template, "--rootfs", "local:0", "--memory", "64", "--start", "1"]).ok();
    // Its init does not end by itself, so the shutdown waits.
    let status = node.pct(&["status", "172", "--verbose"]).ok();
    let init = status.lines().find_map(|line| line.strip_prefix("pid: ")?.parse().ok()).unwrap();
    let init = rustix::process::Pid::from_raw(init).unwrap();
    rustix::process::kill_process(init, rustix::process::Signal::STOP).unwrap();
    let server = TestServer::start(&node);
    let header = format!("Authorization: PVEAPIToken={token}");
    let ask = |path: &str, body: &str| {
        let form = "Content-Type: application/x-www-form-urlencoded";
        crate::raw::request(&node, &server, path, &[&header, form], body)
    };
    let answer = ask("POST /api2/json/nodes/vm/lxc/172/status/shutdown", "timeout=60");
    let upid = answer.split('"').find(|word| word.starts_with("UPID:")).unwrap().to_owned();
    let status = || ask(&format!("GET /api2/json/nodes/vm/tasks/{upid}/status"), "");
    assert!(status().contains("\"status\":\"running\""), "{}", status());
    let ended = ask(&format!("DELETE /api2/json/nodes/vm/tasks/{upid}"), "");
    assert!(ended.contains("200 OK") && ended.contains("{\"data\":null}"), "{ended}");
    let stopped = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        status().contains("\"status\":\"stopped\",\"exitstatus\":\"interrupted by signal\"")
    });
    assert!(stopped, "{}", status());
    // What is no task is refused.
    let unknown = ask("DELETE /api2/json/nodes/vm/tasks/nonsense", "");
    assert!(unknown.contains(" 400 "), "{unknown}");
}

fn checked(call: Call) -> CheckedCall {
    CheckedCall::unchecked(call)
}
