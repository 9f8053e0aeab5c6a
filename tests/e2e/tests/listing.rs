//! `pvect list` with none, one and fifty containers.

use std::fs;

use pvect_testkit::{TestNode, node_or_skip};

fn write_configs(node: &TestNode, count: u32) {
    fs::create_dir_all(node.config_file(100).parent().expect("a directory")).expect("it can be made");
    for vmid in 101..101 + count {
        let rootfs = format!("rootfs: local:{vmid}/vm-{vmid}-disk-0.raw,size=1G");
        let text = format!("arch: amd64\nhostname: ct{vmid}\nmemory: 64\nostype: alpine\n{rootfs}\n");
        fs::write(node.config_file(vmid), text).expect("it can be written");
    }
}

#[test]
fn json_is_valid_for_none_one_and_fifty() {
    let node = node_or_skip!();
    for count in [0, 1, 50] {
        write_configs(&node, count);
        let list: serde_json::Value =
            serde_json::from_str(&node.pvect(&["list", "-o", "json"]).ok()).expect("JSON");
        assert_eq!(list.as_array().map(Vec::len), Some(count as usize));
        if count > 0 {
            assert_eq!(list[0], serde_json::json!({"vmid": 101, "status": "stopped", "name": "ct101"}));
        }
    }
}

#[test]
fn plain_is_what_pct_prints() {
    let node = node_or_skip!();
    for count in [0, 1, 50] {
        write_configs(&node, count);
        if count == 50 {
            let locked =
                fs::read_to_string(node.config_file(110)).expect("it is there") + "lock: snapshot-delete\n";
            fs::write(node.config_file(110), locked).expect("it can be written");
        }
        assert_eq!(node.pvect(&["list", "-o", "plain"]).ok(), node.pct(&["list"]).ok());
    }
}
