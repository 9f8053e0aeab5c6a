//! What pct warned of while it was only read: kept until somebody asks.

use std::sync::{Arc, Mutex, PoisonError};

use pvect_core::Vmid;

/// How many warnings are kept; if nobody takes them, the oldest are dropped first.
const MOST: usize = 1000;

/// Warnings from reads, each with the container that was read. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Warned(Arc<Mutex<Vec<Warning>>>);

/// The container that was read (`None` for a list of all), and pct's line.
type Warning = (Option<Vmid>, String);

impl Warned {
    /// Keeps what pct warned about when it read a container, or listed all.
    pub(crate) fn keep(&self, vmid: Option<Vmid>, warnings: Vec<String>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(warnings.into_iter().map(|text| (vmid, text)));
        let surplus = kept.len().saturating_sub(MOST);
        kept.drain(..surplus);
    }

    /// Takes the warnings from reads of one container, or those from lists; the oldest first.
    pub fn take(&self, vmid: Option<Vmid>) -> Vec<String> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (taken, left) = kept.drain(..).partition(|(of, _)| *of == vmid);
        *kept = left;
        let mut texts: Vec<String> = taken.into_iter().map(|(_, text): Warning| text).collect();
        // status and config read the same file, so both may warn.
        let mut seen = std::collections::HashSet::new();
        texts.retain(|text| seen.insert(text.clone()));
        texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_taken_once_and_by_container() {
        let warned = Warned::default();
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let vmid = |text: &str| Some(text.parse::<Vmid>().unwrap());
        warned.keep(vmid("101"), texts(&["a", "b"]));
        warned.clone().keep(vmid("101"), texts(&["b", "c"]));
        warned.keep(None, texts(&["d"]));
        assert_eq!(warned.take(vmid("102")), texts(&[]));
        assert_eq!(warned.take(vmid("101")), texts(&["a", "b", "c"]));
        assert_eq!(warned.take(vmid("101")), texts(&[]));
        assert_eq!(warned.take(None), texts(&["d"]));
        warned.keep(None, (0..2 * MOST).map(|n| n.to_string()).collect());
        let kept = warned.take(None);
        assert_eq!((kept.len(), kept[0].as_str()), (MOST, "1000"));
    }
}
