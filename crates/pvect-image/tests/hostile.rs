//! Registries that lie, break off, are slow, or want credentials for others.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::time::Duration;

use common::{Answer, Asked, Hostile, Image, Setup};
use pvect_image::{Credentials, ImageError, Registries};

fn damaged(error: &ImageError) -> bool {
    matches!(error, ImageError::Damaged(_))
}

/// The blobs and partial blobs of a store.
fn left(setup: &Setup) -> Vec<String> {
    let root = setup.store.root();
    let mut names = Vec::new();
    for directory in ["blobs/sha256", "partial"] {
        let list = std::fs::read_dir(root.join(directory)).unwrap();
        names.extend(list.map(|entry| entry.unwrap().file_name().into_string().unwrap()));
    }
    names
}

#[test]
fn an_honest_registry_is_pulled_from_and_the_second_pull_brings_nothing() {
    let image = Image::new(&[b"one", b"two", b"one"]);
    let served = image.clone();
    let registry = Hostile::start(move |asked| served.answer(asked));
    let setup = Setup::new();
    let pulled = setup.pull(&registry.reference("a/b:1")).unwrap();
    assert_eq!(pulled.digest.to_string(), image.digest);
    assert!(!pulled.unchanged);
    let blobs = registry.count("/blobs/");
    assert_eq!(blobs, 3, "a config and two layers: the third is the first");
    assert!(setup.pull(&registry.reference("a/b:1")).unwrap().unchanged);
    assert_eq!(registry.count("/blobs/"), blobs);
    let by_digest = registry.reference(&format!("a/b@{}", image.digest));
    assert_eq!(setup.pull(&by_digest).unwrap().digest, pulled.digest);
}

#[test]
fn a_flipped_byte_is_refused_and_leaves_nothing_of_the_blob() {
    let image = Image::new(&[b"some layer"]);
    let served = image.clone();
    let registry = Hostile::start(move |asked| {
        let mut answer = served.answer(asked);
        if asked.path.contains(&served.layers[0]) {
            answer.body[3] ^= 1;
        }
        answer
    });
    let setup = Setup::new();
    let error = setup.pull(&registry.reference("a/b:1")).unwrap_err();
    assert!(damaged(&error), "{error}");
    assert!(error.to_string().contains(&image.layers[0]), "{error}");
    assert!(!left(&setup).iter().any(|name| image.layers[0].contains(name.trim_start_matches("sha256-"))));
    assert!(setup.store.list().unwrap().is_empty());
}

#[test]
fn a_manifest_that_is_not_the_digest_is_refused() {
    let image = Image::new(&[b"layer"]);
    let other = Image::new(&[b"other layer"]);
    let registry = Hostile::start(move |asked| {
        if asked.path.contains("/manifests/") { other.answer_manifest() } else { other.answer(asked) }
    });
    let setup = Setup::new();
    let error = setup.pull(&registry.reference(&format!("a/b@{}", image.digest))).unwrap_err();
    assert!(damaged(&error), "{error}");
    assert!(left(&setup).is_empty());
}

#[test]
fn a_blob_of_another_length_is_refused() {
    for announced in [true, false] {
        for longer in [true, false] {
            let image = Image::new(&[b"some layer"]);
            let served = image.clone();
            let registry = Hostile::start(move |asked| {
                let mut answer = served.answer(asked);
                if asked.path.contains(&served.layers[0]) {
                    if longer {
                        answer.body.extend_from_slice(&[b'x'; 100_000]);
                    } else {
                        answer.body.truncate(if asked.range.is_none() { 4 } else { 0 });
                    }
                    answer.announced = announced;
                }
                answer
            });
            let setup = Setup::new();
            let error = setup.pull(&registry.reference("a/b:1")).unwrap_err();
            let cut = !announced && !longer;
            let as_it_should = if cut { matches!(error, ImageError::Broken(_)) } else { damaged(&error) };
            assert!(as_it_should, "announced {announced}, longer {longer}: {error}");
            assert!(setup.store.list().unwrap().is_empty());
        }
    }
}

#[test]
fn an_endless_manifest_is_refused() {
    let registry = Hostile::start(|_| Answer { endless: true, ..Answer::ok(b"{".to_vec()) });
    let setup = Setup::new();
    let error = setup.pull(&registry.reference("a/b:1")).unwrap_err();
    assert!(damaged(&error), "{error}");
    assert!(error.to_string().contains("4194304"), "{error}");
}

#[test]
fn indexes_that_do_not_end_are_refused() {
    // Each index names one more, up to a depth that no image has.
    let mut chain = vec![Image::new(&[b"layer"]).manifest];
    for _ in 0..8 {
        let inner = chain.last().unwrap();
        chain.push(common::index_of(&[(inner, "amd64", common::INDEX)]));
    }
    let served = chain.clone();
    let registry = Hostile::start(move |asked| {
        let found = served.iter().find(|bytes| asked.path.ends_with(&common::digest(bytes)));
        let bytes = found.unwrap_or(served.last().unwrap()).clone();
        Answer { media_type: common::INDEX, ..Answer::ok(bytes) }
    });
    let setup = Setup::new();
    let error = setup.pull(&registry.reference("a/b:1")).unwrap_err();
    assert!(damaged(&error), "{error}");
    assert!(error.to_string().contains("nested"), "{error}");
    assert!(registry.count("/manifests/") <= 6);
}

#[test]
fn the_image_of_the_architecture_is_taken() {
    let (amd, arm) = (Image::new(&[b"amd"]), Image::of("arm64", &[b"arm"]));
    let index = common::index_of(&[
        (&arm.manifest, "arm64", common::MANIFEST),
        (&amd.manifest, "amd64", common::MANIFEST),
    ]);
    let served = (amd.clone(), arm.clone());
    let registry = Hostile::start(move |asked| {
        if asked.path.ends_with("/manifests/1") {
            return Answer { media_type: common::INDEX, ..Answer::ok(index.clone()) };
        }
        let first = served.0.answer(asked);
        if first.status == 200 { first } else { served.1.answer(asked) }
    });
    let mut setup = Setup::new();
    assert_eq!(setup.pull(&registry.reference("a/b:1")).unwrap().digest.to_string(), amd.digest);
    setup.arch = "arm64";
    assert_eq!(setup.pull(&registry.reference("a/b:1")).unwrap().digest.to_string(), arm.digest);
    setup.arch = "riscv64";
    let error = setup.pull(&registry.reference("a/b:1")).unwrap_err();
    assert!(matches!(error, ImageError::NotFound(_)), "{error}");
    assert!(error.to_string().contains("arm64, amd64"), "{error}");
}

#[test]
fn an_image_that_is_for_another_architecture_than_its_index_says_is_refused() {
    let arm = Image::of("arm64", &[b"arm"]);
    let registry = Hostile::start(move |asked| arm.answer(asked));
    let setup = Setup::new();
    let error = setup.pull(&registry.reference("a/b:1")).unwrap_err();
    assert!(matches!(error, ImageError::NotFound(_)), "{error}");
    assert!(setup.store.list().unwrap().is_empty());
}

#[test]
fn a_download_that_breaks_off_goes_on_where_it_was() {
    let layer = vec![7_u8; 300_000];
    let image = Image::new(&[&layer]);
    let served = image.clone();
    let registry = Hostile::start(move |asked| {
        let mut answer = served.answer(asked);
        if asked.path.contains(&served.layers[0]) && asked.range.is_none() {
            answer.breaks_after = Some(100_000);
        }
        answer
    });
    let setup = Setup::new();
    setup.pull(&registry.reference("a/b:1")).unwrap();
    let ranges: Vec<u64> = registry.asked().iter().filter_map(|asked| asked.range).collect();
    assert!(!ranges.is_empty() && ranges.iter().all(|from| *from > 0 && *from <= 100_000), "{ranges:?}");
}

#[test]
fn what_an_earlier_pull_left_is_gone_on_with_or_brought_again_when_it_is_damaged() {
    for left_behind in [&b"some "[..], &b"SOME "[..]] {
        let image = Image::new(&[b"some layer"]);
        let served = image.clone();
        let registry = Hostile::start(move |asked| served.answer(asked));
        let setup = Setup::new();
        // Makes the directories.
        setup.pull(&registry.reference("a/missing:1")).unwrap_err();
        let partial = setup.store.root().join("partial").join(image.layers[0].replace(':', "-"));
        std::fs::write(partial, left_behind).unwrap();
        setup.pull(&registry.reference("a/b:1")).unwrap();
        let asked = registry.asked();
        let ranges: Vec<Option<u64>> = asked
            .iter()
            .filter(|asked| asked.path.contains(&image.layers[0]))
            .map(|asked| asked.range)
            .collect();
        let again: &[Option<u64>] = if left_behind == b"some " { &[Some(5)] } else { &[Some(5), None] };
        assert_eq!(ranges, again);
    }
}

#[test]
fn a_registry_that_knows_no_ranges_is_pulled_from_all_the_same() {
    let image = Image::new(&[b"some layer"]);
    let served = image.clone();
    let registry = Hostile::start(move |asked| {
        let asked = Asked { range: None, ..asked.clone() };
        served.answer(&asked)
    });
    let setup = Setup::new();
    setup.pull(&registry.reference("a/missing:1")).unwrap_err();
    std::fs::write(setup.store.root().join("partial").join(image.layers[0].replace(':', "-")), b"some ")
        .unwrap();
    setup.pull(&registry.reference("a/b:1")).unwrap();
}

#[test]
fn a_registry_that_always_breaks_off_is_given_up_and_what_came_is_kept() {
    let layer = vec![7_u8; 100_000];
    let image = Image::new(&[&layer]);
    let served = image.clone();
    let registry = Hostile::start(move |asked| {
        let mut answer = served.answer(asked);
        if asked.path.contains(&served.layers[0]) {
            answer.breaks_after = Some(if asked.range.is_none() { 50_000 } else { 0 });
        }
        answer
    });
    let setup = Setup::new();
    let error = setup.pull(&registry.reference("a/b:1")).unwrap_err();
    assert!(matches!(error, ImageError::Broken(_)), "{error}");
    let partial = setup.store.root().join("partial").join(image.layers[0].replace(':', "-"));
    let size = partial.metadata().unwrap().len();
    assert!(size > 0 && size <= 50_000, "{size}");
}

#[test]
fn a_registry_that_drips_is_given_up() {
    let image = Image::new(&[&[7_u8; 100_000]]);
    let served = image.clone();
    let registry = Hostile::start(move |asked| {
        let mut answer = served.answer(asked);
        if asked.path.contains(&served.layers[0]) {
            answer.drips = Some(Duration::from_millis(20));
        }
        answer
    });
    let mut setup = Setup::new();
    setup.rules.answer_timeout = Duration::from_millis(300);
    let error = setup.pull(&registry.reference("a/b:1")).unwrap_err();
    assert!(matches!(error, ImageError::TimedOut(_)), "{error}");
}

#[test]
fn credentials_do_not_follow_a_redirect() {
    let image = Image::new(&[b"layer"]);
    let served = image.clone();
    let elsewhere = Hostile::start(move |asked| served.answer(asked));
    let target = elsewhere.address.clone();
    let registry = Hostile::start(move |asked| {
        if asked.authorization.is_none() {
            return Answer::unauthorized("Basic realm=\"x\"");
        }
        if asked.path.contains("/blobs/") {
            return Answer::redirect(&format!("http://{target}{}", asked.path));
        }
        image.answer(asked)
    });
    let mut setup = Setup::new();
    setup.credentials =
        Some(Credentials::Password { username: "u".to_owned(), password: "hunter22".to_owned().into() });
    setup.pull(&registry.reference("a/b:1")).unwrap();
    assert_eq!(elsewhere.count("/blobs/"), 2);
    assert!(elsewhere.asked().iter().all(|asked| asked.authorization.is_none()));
}

#[test]
fn redirects_end() {
    let registry = Hostile::start(|asked| Answer::redirect(&asked.path));
    let error = Setup::new().pull(&registry.reference("a/b:1")).unwrap_err();
    assert!(matches!(error, ImageError::Refused(_)), "{error}");
    assert!(registry.asked().len() < 10);
    for target in ["http://192.0.2.1/x", "file:///etc/passwd", "ftp://127.0.0.1/x"] {
        let registry = Hostile::start(move |_| Answer::redirect(target));
        let error = Setup::new().pull(&registry.reference("a/b:1")).unwrap_err();
        assert!(matches!(error, ImageError::Untrusted(_)), "{target}: {error}");
    }
}

#[test]
fn a_registry_that_always_wants_credentials_is_asked_twice() {
    for credentials in [None, Some(())] {
        let registry = Hostile::start(|_| Answer::unauthorized("Basic realm=\"x\""));
        let mut setup = Setup::new();
        setup.credentials = credentials.map(|()| Credentials::Password {
            username: "u".to_owned(),
            password: "hunter22".to_owned().into(),
        });
        let error = setup.pull(&registry.reference("a/b:1")).unwrap_err();
        assert!(matches!(error, ImageError::Denied(_)), "{error}");
        assert!(!error.to_string().contains("hunter22"));
        assert!(registry.count("/manifests/") <= 2);
    }
}

#[test]
fn tokens_are_got_where_the_registry_says_and_not_by_plain_http_from_elsewhere() {
    let image = Image::new(&[b"layer"]);
    let giver = Hostile::start(|_| Answer::ok(br#"{"token":"t1"}"#.to_vec()));
    let realm = format!("http://{}/token", giver.address);
    let registry = Hostile::start(move |asked| match asked.authorization.as_deref() {
        Some("Bearer t1") => image.answer(asked),
        _ => Answer::unauthorized(&format!("Bearer realm=\"{realm}\",service=\"s\"")),
    });
    let mut setup = Setup::new();
    setup.credentials =
        Some(Credentials::Password { username: "u".to_owned(), password: "hunter22".to_owned().into() });
    setup.pull(&registry.reference("a/b:1")).unwrap();
    let asked = giver.asked();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].path.contains("scope=repository%3Aa%2Fb%3Apull"), "{}", asked[0].path);
    assert!(asked[0].authorization.as_deref().unwrap().starts_with("Basic "));

    let registry = Hostile::start(|_| Answer::unauthorized("Bearer realm=\"http://192.0.2.1/token\""));
    let error = setup.pull(&registry.reference("a/b:1")).unwrap_err();
    assert!(matches!(error, ImageError::Untrusted(_)), "{error}");
}

#[test]
fn a_mirror_comes_first_and_one_that_lies_is_passed_over() {
    let image = Image::new(&[b"layer"]);
    let served = image.clone();
    let mirror = Hostile::start(move |asked| {
        let mut answer = served.answer(asked);
        if asked.path.contains("/blobs/") {
            answer.body[0] ^= 1;
        }
        answer
    });
    let served = image.clone();
    let registry = Hostile::start(move |asked| served.answer(asked));
    let mut setup = Setup::new();
    let mut registries = Registries::default();
    let text = format!(
        "[[registry]]\nlocation = '{}'\n[[registry.mirror]]\nlocation = '{}'",
        registry.address, mirror.address
    );
    registries.add("conf", &text).unwrap();
    setup.registries = registries;
    let pulled = setup.pull(&registry.reference("a/b:1")).unwrap();
    assert_eq!(pulled.digest.to_string(), image.digest);
    assert!(mirror.count("/blobs/") > 0);
    let warnings = setup.warnings.lock().unwrap();
    assert!(warnings[0].contains(&mirror.address) && warnings[0].contains("damaged"), "{warnings:?}");
}

#[test]
fn two_pulls_side_by_side_bring_each_blob_once() {
    let layer = vec![7_u8; 200_000];
    let image = Image::new(&[&layer]);
    let served = image.clone();
    let registry = Hostile::start(move |asked| served.answer(asked));
    let setup = Setup::new();
    let reference = registry.reference("a/b:1");
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..4).map(|_| scope.spawn(|| setup.pull(&reference).unwrap().digest)).collect();
        for one in all {
            assert_eq!(one.join().unwrap().to_string(), image.digest);
        }
    });
    assert_eq!(registry.count("/blobs/"), 2);
}

#[test]
fn what_registries_say_reaches_no_terminal_as_it_is() {
    let registry = Hostile::start(|_| Answer {
        status: 500,
        ..Answer::ok(format!(r#"{{"errors":[{{"message":"\u001b[2J{}"}}]}}"#, "x".repeat(5000)).into_bytes())
    });
    let error = Setup::new().pull(&registry.reference("a/b:1")).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, ImageError::Refused(_)), "{text}");
    assert!(!text.contains('\u{1b}') && text.len() < 300, "{text}");
}
