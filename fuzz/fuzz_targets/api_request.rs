//! Requests of the API: any path, query and body. What comes of them has only options that the verb has, and no NUL but
//! between the entries of `env`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pvect_core::Verb;
use pvect_core::call::Value;
use pvect_serve::fuzzing::{call_of, place_of};

const VERBS: [Verb; 6] =
    [Verb::Create, Verb::Set, Verb::Clone, Verb::Resize, Verb::Snapshot, Verb::MoveVolume];

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, rest)) = bytes.split_first() else { return };
    let mut parts = rest.splitn(3, |byte| *byte == b'\n');
    let [path, query, body] = [(); 3].map(|()| parts.next().unwrap_or_default());
    for method in ["GET", "POST", "PUT", "DELETE"] {
        let place = place_of(method, &String::from_utf8_lossy(path)).unwrap_or_default();
        assert!(place.iter().all(|(name, value)| !name.is_empty() && !value.is_empty()), "{place:?}");
    }
    let verb = VERBS[usize::from(choice / 2) % VERBS.len()];
    let Some(call) = call_of(verb, query, body, choice % 2 == 1) else { return };
    for (name, value) in call.options() {
        assert!(verb.spec().option(name).is_some(), "{name:?}");
        if let Value::Text(text) = value {
            assert!(name == "env" || !text.contains('\0'), "{name}: {text:?}");
        }
    }
    assert!(call.args().iter().all(|arg| !arg.contains('\0')), "{:?}", call.args());
    call.verified().expect("what was verified");
});
