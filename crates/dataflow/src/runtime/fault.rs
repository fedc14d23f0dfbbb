//! Operators that are broken on purpose, so that tests can prove they would notice.
//!
//! Only builds with debug assertions know how; there the environment variable `TESTING_FAULT` names a fault of the list
//! below. A fault is a mutation of all operators of a kind, made by a wrapper that changes what goes in or what comes out.

mod broken;

use std::sync::OnceLock;

use crate::Operator;
use broken::Broken;

/// What a broken operator does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutation {
    /// Retractions of an input are never seen; `None` for any input.
    LosesRetractions(Option<usize>),
    /// Of a batch with retractions, insertions are not seen.
    LosesNewHalves,
    /// A row counts once, however many copies there are.
    CountsOneCopy,
    /// Rows with a NULL are not seen.
    LosesNulls,
    /// Insertions are seen twice.
    SeesTwice,
    /// Of several batches of an epoch the first alone is seen.
    SeesFirstBatch,
    /// When the other input has changed in the same epoch, changes are not seen.
    SeesOneSide,
    /// The first epoch after a restart is not seen.
    StaleAfterRestart,
    /// An epoch with nothing but retractions is not finished.
    SkipsRetractingEpochs,
    /// Retractions are not put out.
    KeepsOldRows,
    /// Insertions are put out twice.
    PutsOutTwice,
    /// Rows with NULL at an end are not retracted.
    KeepsPadding,
    /// Rows with NULL at an end don't come in an epoch with retractions.
    LosesPadding,
    /// What is gone never comes back.
    NeverBack,
    /// Nothing comes in place of what is retracted.
    NoRefill,
    /// NULL is 0.
    NullIsZero,
    /// Floats lose their last digits.
    RoundsFloats,
    /// Whole numbers lose their upper bits.
    NarrowsIntegers,
    /// Errors never go away.
    ErrorsStay,
}

use Mutation as M;

/// The faults: a name, how the titles of the operators begin, what they do wrong.
const FAULTS: &[(&str, &str, Mutation)] = &[
    ("aggregate-loses-retractions", "Aggregate", M::LosesRetractions(None)),
    ("aggregate-loses-new-halves", "Aggregate", M::LosesNewHalves),
    ("aggregate-counts-one-copy", "Aggregate", M::CountsOneCopy),
    ("aggregate-loses-null-keys", "Aggregate", M::LosesNulls),
    ("aggregate-sees-twice", "Aggregate", M::SeesTwice),
    ("aggregate-sees-first-batch", "Aggregate", M::SeesFirstBatch),
    ("aggregate-stale-after-restart", "Aggregate", M::StaleAfterRestart),
    ("aggregate-keeps-emptied-groups", "Aggregate", M::SkipsRetractingEpochs),
    ("aggregate-keeps-old-results", "Aggregate", M::KeepsOldRows),
    ("aggregate-group-never-back", "Aggregate", M::NeverBack),
    ("aggregate-null-is-zero", "Aggregate", M::NullIsZero),
    ("aggregate-rounds-floats", "Aggregate", M::RoundsFloats),
    ("aggregate-narrows-integers", "Aggregate", M::NarrowsIntegers),
    ("filter-keeps-updated-rows", "Filter", M::KeepsOldRows),
    ("filter-loses-new-halves", "Filter", M::LosesNewHalves),
    ("project-loses-retractions", "Project", M::LosesRetractions(None)),
    ("project-errors-stay", "Project", M::ErrorsStay),
    ("union-loses-retractions-of-one-side", "Union", M::LosesRetractions(Some(1))),
    ("union-sees-one-side", "Union", M::SeesOneSide),
    ("output-stores-twice", "Output", M::SeesTwice),
    ("output-stores-one-copy", "Output", M::CountsOneCopy),
    ("output-loses-retractions", "Output", M::LosesRetractions(None)),
    ("output-stale-after-restart", "Output", M::StaleAfterRestart),
    ("join-loses-retractions-left", "Join", M::LosesRetractions(Some(0))),
    ("join-loses-retractions-right", "Join", M::LosesRetractions(Some(1))),
    ("join-sees-one-side", "Join", M::SeesOneSide),
    ("join-counts-one-copy", "Join", M::CountsOneCopy),
    ("join-loses-null-keys", "Join left", M::LosesNulls),
    ("join-keeps-padding", "Join", M::KeepsPadding),
    ("join-loses-padding", "Join", M::LosesPadding),
    ("join-puts-out-twice", "Join", M::PutsOutTwice),
    ("join-stale-after-restart", "Join", M::StaleAfterRestart),
    ("semi-join-loses-retractions", "Join semi", M::LosesRetractions(Some(1))),
    ("anti-join-loses-retractions", "Join anti", M::LosesRetractions(Some(1))),
    ("top-n-no-refill", "Top", M::NoRefill),
    ("top-n-keeps-old-rows", "Top", M::KeepsOldRows),
    ("top-n-loses-retractions", "Top", M::LosesRetractions(None)),
    ("top-n-stale-after-restart", "Top", M::StaleAfterRestart),
    ("window-loses-retractions", "Window", M::LosesRetractions(None)),
    ("window-keeps-old-rows", "Window", M::KeepsOldRows),
    ("window-sees-first-batch", "Window", M::SeesFirstBatch),
    ("window-stale-after-restart", "Window", M::StaleAfterRestart),
];

/// The fault of the exchange: rows are placed by all their columns in place of the key.
const MISPLACES: &str = "exchange-misplaces-rows";

/// The name of the fault that is asked for.
fn asked() -> Option<&'static str> {
    static ASKED: OnceLock<Option<String>> = OnceLock::new();
    if !cfg!(debug_assertions) {
        return None;
    }
    ASKED.get_or_init(|| std::env::var("TESTING_FAULT").ok()).as_deref()
}

/// Breaks an operator if a fault of its kind is asked for, and leaves all others as they are.
pub(super) fn break_if_asked(operator: Box<dyn Operator>, title: &str, is_restored: bool) -> Box<dyn Operator> {
    let Some(asked) = asked().filter(|asked| *asked != MISPLACES) else { return operator };
    let fault = FAULTS.iter().find(|(name, ..)| *name == asked);
    let Some((_, kind, mutation)) = fault else { panic!("there is no fault {asked}") };
    let applies = title.starts_with(kind) && (*mutation != M::StaleAfterRestart || is_restored);
    if applies { Box::new(Broken::new(operator, *mutation)) } else { operator }
}

/// Whether rows are to be placed wrongly.
pub(super) fn misplaces() -> bool {
    asked() == Some(MISPLACES)
}
