//! A create that is told to end. Alone in its file: the signal is for the whole process.

use std::time::{Duration, Instant};

use pvect_core::{Call, Verb};

mod common;

use common::{NodeInProcess, archive};

#[test]
fn a_create_that_gets_sigterm_undoes_everything() {
    let Some(node) = NodeInProcess::new("interrupt") else { return };
    node.template("large.tar", &archive(256 << 20));
    let image = node.root().join("vz/images/210/vm-210-disk-0.raw");
    let sender = std::thread::spawn(move || {
        let begun = Instant::now();
        while !image.exists() && begun.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(1));
        }
        signal_hook::low_level::raise(signal_hook::consts::SIGTERM).unwrap();
    });
    let call = Call::on(Verb::Create, "210".parse().unwrap())
        .arg("local:vztmpl/large.tar")
        .option("rootfs", "local:1");
    let ran = node.run(call);
    sender.join().unwrap();
    assert_eq!((ran.exit, ran.text.as_str()), (255, "unable to create CT 210 - interrupted by signal"));
    assert_eq!(node.leftovers(), Vec::<String>::new());
}
