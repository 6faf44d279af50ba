//! What the table of `tests/grants` takes for granted: the names are a closed list that programs can rely on.

use super::*;

#[test]
fn every_refusal_has_a_name_of_its_own_that_survives_json() {
    let names: BTreeSet<&str> = Refusal::ALL.iter().map(|refusal| refusal.name()).collect();
    assert_eq!(names.len(), Refusal::ALL.len());
    for refusal in Refusal::ALL {
        let name = refusal.name();
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{name}");
        assert_eq!(serde_json::to_value(refusal).ok(), Some(name.into()));
    }
}
