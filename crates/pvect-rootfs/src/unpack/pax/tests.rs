//! Extended headers, read by the tar crate from the stream that is made for it.

use super::*;

#[test]
fn records_are_as_long_as_they_say() {
    let keys = |body: &[u8]| {
        let ranges = ranges(body)?;
        let records = ranges.iter().filter_map(|(key, value)| record(body, key, value));
        Some(records.map(|record| (record.key, record.value)).collect::<Vec<_>>())
    };
    let two = b"13 path=a\nb=\n6 a=b\n";
    assert_eq!(keys(two).unwrap(), [("path".to_owned(), b"a\nb=".to_vec()), ("a".to_owned(), b"b".to_vec())]);
    assert_eq!(keys(b"").unwrap(), []);
    for bad in [
        &b"6 a=b"[..],
        b"7 a=b\n",
        b"5 a=b\n",
        b"x a=b\n",
        b"99999999999999999999 a=b\n",
        b"6 abc\n",
        b"1 \n",
        b"\n",
        b"8 a\nb=c\n",
    ] {
        assert_eq!(keys(bad), None, "{}", bad.escape_ascii());
    }
}

/// Reads a stream with the crate; the names that it sees and our records.
fn read(bytes: &[u8]) -> Vec<(String, Vec<Record>)> {
    let records = Records::default();
    let mut tar = tar::Archive::new(Stream::new(bytes, &records));
    let mut found = Vec::new();
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        assert_eq!(io::copy(&mut entry, &mut io::sink()).unwrap(), entry.size(), "{name}");
        found.push((name, records.take()));
    }
    found
}

#[test]
fn each_member_has_its_own_records() {
    let mut tar = tar::Builder::new(Vec::new());
    let value = b"one\n9 path=x\n";
    for (name, data, pax) in [
        ("first", &b"x"[..], &[("SCHILY.xattr.user.a", &value[..])][..]),
        ("second", &[7; 1000], &[]),
        ("third", b"", &[("path", b"new\nname"), ("comment", b"c")]),
    ] {
        tar.append_pax_extensions(pax.iter().copied()).unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_path(name).unwrap();
        header.set_size(data.len() as u64);
        header.set_cksum();
        tar.append(&header, data).unwrap();
    }
    let bytes = tar.into_inner().unwrap();
    let record = |key: &str, value: &[u8]| Record { key: key.to_owned(), value: value.to_vec() };
    assert_eq!(
        read(&bytes),
        [
            ("first".to_owned(), vec![record("SCHILY.xattr.user.a", value)]),
            ("second".to_owned(), vec![]),
            ("new?name".to_owned(), vec![record("path", b"new\nname"), record("comment", b"c")]),
        ]
    );
    // Cut anywhere, it ends.
    for length in (0..bytes.len()).step_by(100) {
        let mut rest = Vec::new();
        Stream::new(&bytes[..length], &Records::default()).read_to_end(&mut rest).unwrap();
        assert_eq!(rest.len(), length);
    }
}

/// A member of a kind with a size that need not be there.
fn header(kind: tar::EntryType, size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

fn refusal(bytes: &[u8]) -> String {
    let mut tar = tar::Archive::new(Stream::new(bytes.chain(io::repeat(b'a')), &Records::default()));
    let found = tar.entries().unwrap().find_map(Result::err);
    found.expect("it is refused").to_string()
}

#[test]
fn a_name_that_would_change_is_refused_where_nobody_reads_the_records() {
    let names = |key: &str, value: &[u8]| {
        let mut tar = tar::Builder::new(Vec::new());
        tar.append_pax_extensions([(key, value)]).unwrap();
        tar.append(tar::Header::from_byte_slice(&header(tar::EntryType::Regular, 0)), io::empty()).unwrap();
        let bytes = tar.into_inner().unwrap();
        let stream = Stream::new(bytes.as_slice(), &Records::default()).with_plain_names();
        let mut tar = tar::Archive::new(stream);
        let names = tar.entries().unwrap().map(|entry| Ok(entry?.path_bytes().into_owned()));
        names.collect::<io::Result<Vec<_>>>().map_err(|error| error.to_string())
    };
    assert_eq!(names("path", b"new").unwrap(), [b"new"]);
    assert_eq!(names("SCHILY.xattr.user.a", b"a\nb").unwrap().len(), 1);
    for key in ["path", "linkpath"] {
        let refused = names(key, b"new\nname").unwrap_err();
        assert_eq!(refused, "an extended header has a name with a line break");
    }
}

#[test]
fn extension_members_are_bounded() {
    use tar::EntryType as Kind;
    for (kind, text) in [
        (Kind::GNULongName, "the long name of a member has 3221225472 bytes, more than 1048576"),
        (Kind::GNULongLink, "the long link target of a member has 3221225472 bytes, more than 1048576"),
        (Kind::XHeader, "an extended header has 3221225472 bytes, more than 16777216"),
        (Kind::XGlobalHeader, "a global extended header has 3221225472 bytes, more than 16777216"),
    ] {
        assert_eq!(refusal(&header(kind, 3 << 30)), text);
    }
    let mut map = header(Kind::GNUSparse, 0);
    // `isextended` of the header, then blocks that all say that more follow.
    map[482] = 1;
    let mut checked = tar::Header::from_byte_slice(&map).clone();
    checked.set_cksum();
    let mut endless = checked.as_bytes().to_vec();
    for _ in 0..=MAP_BLOCKS {
        endless.resize(endless.len() + BLOCK, 0);
        let more = endless.len() - BLOCK + 504;
        endless[more] = 1;
    }
    assert_eq!(refusal(&endless), "the map of a sparse file has more than 50000 blocks");
}

#[test]
fn what_the_crate_would_read_otherwise_is_refused() {
    let pax = |body: &[u8]| {
        let mut bytes = header(tar::EntryType::XHeader, body.len() as u64);
        bytes.extend(body);
        bytes.resize(2 * BLOCK, 0);
        bytes.extend(header(tar::EntryType::Regular, 0));
        bytes
    };
    assert_eq!(refusal(&pax(b"99 size=3\n")), "an extended header is damaged");
    assert_eq!(refusal(&pax(b"10 size=x\n")), "an extended header has a size that is not a number");
    assert_eq!(refusal(&pax(b"10 size=0\n10 size=9\n")), "an extended header has two sizes");
    // The crate stops at the line break, goes by the header's size, and would take the member's data for headers.
    assert_eq!(refusal(&pax(b"8 a\nb=c\n22 size=1099511627776\n")), "an extended header is damaged");
    let mut old = tar::Header::new_old();
    old.set_entry_type(tar::EntryType::GNULongName);
    old.set_size(5);
    old.set_cksum();
    assert_eq!(refusal(old.as_bytes()), "the long name of a member has a header of the old form");
}
