//! From a verb or its name to its line of the table.

use super::table::VERBS;
use super::{Verb, VerbSpec};

impl Verb {
    /// Returns the verb's entry in the table.
    pub fn spec(self) -> &'static VerbSpec {
        // The table has one line for each variant, in the same order; a test checks that.
        let [first, ..] = &VERBS;
        VERBS.get(self as usize).unwrap_or(first)
    }

    /// Finds a verb by its full name or alias.
    pub fn from_name(name: &str) -> Option<Self> {
        VERBS.iter().find(|spec| spec.name == name || spec.aliases.contains(&name)).map(|spec| spec.verb)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        assert_eq!(VERBS.len(), Verb::ALL.len());
        for verb in Verb::ALL {
            assert_eq!(verb.spec().verb, *verb);
            assert_eq!(Verb::from_name(verb.name()), Some(*verb));
        }
        assert_eq!(Verb::from_name("move_volume"), Some(Verb::MoveVolume));
    }

    #[test]
    fn options_are_sorted_and_unique() {
        for spec in &VERBS {
            let names: Vec<_> = spec.options.iter().map(|option| option.name).collect();
            assert!(names.is_sorted(), "{}: {names:?}", spec.name);
            let mut all: Vec<_> = spec.all_options().iter().map(|option| option.name).collect();
            let count = all.len();
            all.dedup();
            assert_eq!(all.len(), count, "{} has an option twice", spec.name);
        }
    }

    #[test]
    fn families_have_bounds() {
        let set = Verb::Set.spec();
        assert_eq!(set.option("net31").unwrap().1, Some(31));
        assert!(set.option("net32").is_none());
        assert!(set.option("net").is_none());
        assert!(set.option("net01").is_none());
        assert!(set.option("mp255").is_some());
    }

    /// These exist on the command line only; the API does not have them.
    #[test]
    fn trap_api_gap() {
        let without: Vec<&str> =
            VERBS.iter().filter(|spec| spec.api.is_none()).map(|spec| spec.name).collect();
        assert_eq!(
            without.join(" "),
            "console cpusets df enter exec fsck fstrim mount pull push rescan unlock unmount help"
        );
    }
}
