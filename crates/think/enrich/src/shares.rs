//! How the places for engines are shared out: by the user who serves an engine, with a reserve that is root's alone.
//!
//! Not here: what an engine is (`authorities.rs`, `views.rs`).

use model::authority::Authority;

/// One of so many parts of all places is a user's; half of all are root's alone.
const PARTS: usize = 8;

/// Whether there is a place among `max` for an engine of this authority beside those that have one. Engines that cannot be told
/// whose they are share one part.
pub(crate) fn has_place<'a>(
    taken: impl Iterator<Item = &'a Authority>,
    authority: &Authority,
    max: usize,
) -> bool {
    let (mut all, mut of_others, mut of_same) = (0, 0, 0);
    for held in taken {
        all += 1;
        of_others += usize::from(*held != Authority::Host);
        of_same += usize::from(user(held) == user(authority));
    }
    let has_share = of_same < max / PARTS && of_others < max / 2;
    all < max && (*authority == Authority::Host || has_share)
}

/// The user whose engine it is; `None` when that is unknown.
fn user(authority: &Authority) -> Option<u32> {
    match authority {
        Authority::Host => Some(0),
        Authority::User { uid } => Some(*uid),
        Authority::Unknown | Authority::Refused { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(taken: &mut Vec<Authority>, authority: &Authority) -> usize {
        let before = taken.len();
        while has_place(taken.iter(), authority, 64) {
            taken.push(authority.clone());
        }
        taken.len() - before
    }

    #[test]
    fn each_user_has_a_part_and_root_the_rest() {
        let mut taken = Vec::new();
        for uid in 1..=4 {
            assert_eq!(fill(&mut taken, &Authority::User { uid }), 8, "{uid}");
        }
        assert_eq!(fill(&mut taken, &Authority::User { uid: 5 }), 0, "half is root's");
        assert_eq!(fill(&mut taken, &Authority::Host), 32);
        let mut taken = Vec::new();
        assert_eq!(fill(&mut taken, &Authority::Unknown), 8);
        assert_eq!(fill(&mut taken, &Authority::Refused { why: "it listens at no socket".into() }), 0);
        assert_eq!(fill(&mut taken, &Authority::User { uid: 0 }), 8, "root in a container");
    }
}
