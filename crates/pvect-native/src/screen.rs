//! Reads what a list shows out of configuration files that surely have no line that pct warns of, without parsing them: a
//! list of many containers looks at all of them, and nearly all are like that.

use std::net::Ipv4Addr;

use pvect_core::shape;

/// What a list shows of a configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Head<'a> {
    /// The value of `hostname`.
    pub(crate) hostname: Option<&'a str>,
    /// The value of `lock`.
    pub(crate) lock: Option<&'a str>,
}

/// Reads a file of which every line is of a common form that can be parsed. A file of which this says `None` may be
/// right, too.
///
/// It goes through the bytes once and stops at the first that is not expected.
pub(crate) fn plain_head(bytes: &[u8]) -> Option<Head<'_>> {
    let mut head = Head::default();
    let mut text = Cursor { rest: bytes };
    while let Some(first) = text.rest.first() {
        match first {
            b'\n' => text.skip(1),
            b'#' => text.comment()?,
            _ => {
                let key = text.take(KEY);
                text.expect(b": ")?;
                text.value(key, &mut head)?;
                text.end_of_line()?;
            }
        }
    }
    Some(head)
}

/// Classes of bytes, one bit each.
const KEY: u8 = 1;
const DIGIT: u8 = 2;
const WORD: u8 = 4;
const TAG: u8 = 8;
const VOLUME: u8 = 16;
const HEX: u8 = 32;
const ADDRESS: u8 = 64;

/// Which classes each byte is in.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut number = 0;
    while number < classes.len() {
        let byte = number as u8;
        let mut class = 0;
        if byte.is_ascii_lowercase() || byte.is_ascii_digit() {
            class |= KEY;
        }
        if byte.is_ascii_digit() {
            class |= DIGIT | ADDRESS;
        }
        if byte.is_ascii_alphanumeric() {
            class |= WORD | TAG | VOLUME;
        }
        if byte.is_ascii_hexdigit() {
            class |= HEX;
        }
        match byte {
            b'-' => class |= WORD | TAG | VOLUME,
            b'_' => class |= TAG | VOLUME,
            b'+' => class |= TAG,
            b'.' => class |= TAG | VOLUME | ADDRESS,
            b'/' => class |= VOLUME | ADDRESS,
            b':' => class |= VOLUME,
            _ => {}
        }
        classes[number] = class;
        number += 1;
    }
    classes
};

/// What is left of a file.
struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn skip(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }

    /// Takes the bytes that are in a class.
    fn take(&mut self, class: u8) -> &'a [u8] {
        let length = self.rest.iter().take_while(|byte| CLASSES[usize::from(**byte)] & class != 0).count();
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    /// As [`Cursor::take`], of one byte at least.
    fn some(&mut self, class: u8) -> Option<&'a [u8]> {
        Some(self.take(class)).filter(|taken| !taken.is_empty())
    }

    fn expect(&mut self, expected: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(expected)?;
        Some(())
    }

    /// Whether this byte comes next; it is taken then.
    fn takes(&mut self, byte: u8) -> bool {
        self.expect(&[byte]).is_some()
    }

    fn end_of_line(&mut self) -> Option<()> {
        (self.rest.is_empty() || self.takes(b'\n')).then_some(())
    }

    /// A line of the description. pct refuses a whole file for a byte that is not UTF-8.
    fn comment(&mut self) -> Option<()> {
        let length = self.rest.iter().position(|byte| *byte == b'\n').unwrap_or(self.rest.len());
        let (line, rest) = self.rest.split_at(length);
        self.rest = rest;
        (line.is_ascii() || std::str::from_utf8(line).is_ok()).then_some(())
    }

    fn value(&mut self, key: &[u8], head: &mut Head<'a>) -> Option<()> {
        match key {
            b"arch" | b"cmode" | b"ostype" => self.some(WORD).map(drop),
            b"hostname" => {
                head.hostname = Some(word(self.some(WORD)?).filter(|name| shape::is_label(name))?);
                Some(())
            }
            b"lock" => {
                head.lock = Some(word(self.some(WORD)?)?);
                Some(())
            }
            b"cores" | b"cpuunits" | b"memory" | b"swap" | b"tty" => self.some(DIGIT).map(drop),
            b"console" | b"debug" | b"onboot" | b"protection" | b"template" | b"unprivileged" => self.bit(),
            b"features" => self.features(),
            b"rootfs" => self.root(),
            b"tags" => self.tags(),
            [b'n', b'e', b't', index @ ..] if is_index(index) => self.net(),
            _ => None,
        }
    }

    fn bit(&mut self) -> Option<()> {
        (self.takes(b'0') || self.takes(b'1')).then_some(())
    }

    /// Switches, each at most once.
    fn features(&mut self) -> Option<()> {
        let mut seen = 0_u8;
        loop {
            let bit = match self.take(KEY) {
                b"fuse" => 1,
                b"keyctl" => 2,
                b"mknod" => 4,
                b"nesting" => 8,
                _ => return None,
            };
            once(&mut seen, bit)?;
            self.expect(b"=")?;
            self.bit()?;
            if !self.takes(b',') {
                return Some(());
            }
        }
    }

    fn tags(&mut self) -> Option<()> {
        loop {
            let tag = self.some(TAG)?;
            if matches!(tag, [b'-' | b'+' | b'.', ..]) {
                return None;
            }
            if !self.takes(b';') {
                return Some(());
            }
        }
    }

    /// `STORAGE:NAME` and its size, nothing else.
    fn root(&mut self) -> Option<()> {
        let volume = self.some(VOLUME)?;
        let is_plain = volume.first().is_some_and(u8::is_ascii_alphabetic)
            && !volume.windows(2).any(|pair| pair == b"/.");
        if !is_plain {
            return None;
        }
        if self.expect(b",size=").is_none() {
            return Some(());
        }
        let number = self.some(DIGIT).filter(|digits| digits.len() < 10);
        let unit = self.rest.first().filter(|unit| b"KMGT".contains(unit));
        number.and(unit)?;
        self.skip(1);
        Some(())
    }

    /// Each key at most once, and a name.
    fn net(&mut self) -> Option<()> {
        let mut seen = 0_u8;
        loop {
            let key = self.take(KEY);
            self.expect(b"=")?;
            let bit = match key {
                b"name" => self.some(WORD).and(Some(1)),
                b"bridge" => self.some(WORD).and(Some(2)),
                b"firewall" => self.bit().and(Some(4)),
                b"hwaddr" => self.unicast_mac().and(Some(8)),
                b"ip" => self.address().and(Some(16)),
                b"ip6" => self.method().and(Some(32)),
                b"gw" => self.gateway().and(Some(64)),
                b"type" => self.expect(b"veth").and(Some(128)),
                _ => None,
            };
            once(&mut seen, bit?)?;
            if !self.takes(b',') {
                return (seen & 1 != 0).then_some(());
            }
        }
    }

    fn method(&mut self) -> Option<()> {
        self.expect(b"dhcp").or_else(|| self.expect(b"manual"))
    }

    fn address(&mut self) -> Option<()> {
        if !self.rest.first().is_some_and(u8::is_ascii_digit) {
            return self.method();
        }
        word(self.take(ADDRESS)).and_then(shape::ipv4_cidr).map(drop)
    }

    fn gateway(&mut self) -> Option<()> {
        word(self.take(ADDRESS))?.parse::<Ipv4Addr>().ok().map(drop)
    }

    /// Six pairs of hex digits, the low bit of the first octet clear.
    fn unicast_mac(&mut self) -> Option<()> {
        let (mac, rest) = self.rest.split_at_checked(17)?;
        let is_mac = mac.iter().enumerate().all(|(place, byte)| match place % 3 {
            2 => *byte == b':',
            _ => CLASSES[usize::from(*byte)] & HEX != 0,
        });
        let is_unicast =
            matches!(mac[1], b'0' | b'2' | b'4' | b'6' | b'8' | b'a' | b'c' | b'e' | b'A' | b'C' | b'E');
        self.rest = rest;
        (is_mac && is_unicast).then_some(())
    }
}

/// Notes that something was seen; `None` if it was seen before.
fn once(seen: &mut u8, bit: u8) -> Option<()> {
    let is_new = *seen & bit == 0;
    *seen |= bit;
    is_new.then_some(())
}

/// Bytes of a class, all of which are ASCII.
fn word(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// 0 to 31, without leading zeros.
fn is_index(text: &[u8]) -> bool {
    matches!(text, [b'0'..=b'9'] | [b'1' | b'2', b'0'..=b'9'] | [b'3', b'0' | b'1'])
}

#[cfg(test)]
mod tests {
    use pvect_core::ContainerConfig;
    use pvect_core::config::ParseMode;

    use super::*;

    const PLAIN: &str = "#text\narch: amd64\ncores: 2\nhostname: web-1\nlock: backup\nmemory: 512\n\
        net0: name=eth0,bridge=vmbr0,firewall=1,hwaddr=BC:24:11:00:00:01,ip=dhcp,type=veth\nnet1: name=eth1,gw=10.0.0.1,ip=10.0.0.12/24\nonboot: 1\n\
        ostype: debian\nrootfs: local:101/vm-101-disk-0.raw,size=4G\nswap: 512\nunprivileged: 1\n\
        features: nesting=1,keyctl=0\ntags: web;a-b_c\n";

    fn warns(text: &str) -> bool {
        ContainerConfig::parse(text.as_bytes(), ParseMode::Lenient).is_ok_and(|(_, found)| !found.is_empty())
    }

    fn is_plain(text: &str) -> bool {
        plain_head(text.as_bytes()).is_some()
    }

    #[test]
    fn what_is_plain_can_be_parsed() {
        assert!(is_plain(PLAIN) && is_plain("") && is_plain("\n\n"));
        // Whatever a byte is changed to, a file that still counts as plain must not have a warning.
        let bytes = b"0 x:=,/.-\n#[A\t\xc3";
        let mut plain = 0;
        for place in 0..PLAIN.len() {
            for byte in bytes {
                let mut changed = PLAIN.as_bytes().to_vec();
                changed[place] = *byte;
                let Ok(changed) = String::from_utf8(changed) else { continue };
                if is_plain(&changed) {
                    plain += 1;
                    assert!(!warns(&changed), "{changed}");
                    let whole = ContainerConfig::parse(changed.as_bytes(), ParseMode::Lenient).unwrap().0;
                    let head = plain_head(changed.as_bytes()).unwrap();
                    let of_whole = |key: &str| whole.main.options.get(key).map(String::as_str);
                    assert_eq!(
                        (head.hostname, head.lock),
                        (of_whole("hostname"), of_whole("lock")),
                        "{changed}"
                    );
                }
            }
        }
        assert!(plain > 300, "{plain}");
    }

    #[test]
    fn what_pct_warns_of_is_not_plain() {
        assert!(plain_head(b"#\xff\n").is_none(), "pct refuses the whole file");
        for line in [
            "cores: abc",
            "  cores: 2",
            "Memory: 512",
            "net0: bogus",
            "net0: name=a,name=b",
            "net0: bridge=vmbr0",
            "net32: name=eth0",
            "net1: name=eth1,ip=10.0.0.256/24",
            "net1: name=eth1,ip=10.0.0.1",
            "net1: name=eth1,gw=10.0.0",
            "net1: name=eth1,hwaddr=BD:24:11:00:00:01",
            "net1: name=eth1,hwaddr=BC:24:11:00:00",
            "rootfs: ,",
            "rootfs: local:1,size=x",
            "onboot: maybe",
            "features: nesting=2",
            "features: nesting=1,nesting=1",
            "features: bogus=1",
            "tags: -a",
            "tags: a b!",
            "hostname: -a",
            "lxc.nosuch: 1",
            "[snap]",
        ] {
            assert!(!is_plain(&format!("{PLAIN}{line}\n")), "{line}");
        }
    }
}
