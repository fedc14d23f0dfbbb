//! Join: pairs the rows of two inputs, keeps both, and follows every change of either.
//!
//! 1. Each side keeps its rows, found by the join key (`side`). A change of one side is joined with what the other holds at
//!    that moment and is then kept itself (`step`): so ΔA⋈B and A⋈ΔB, and ΔA⋈ΔB once, whatever comes in whichever order.
//! 2. A row of a side that shows whether it has matches (the left one of a left join, of EXISTS, …) changes its result
//!    when it gets its first match or loses its last one. With nothing but equal keys that is asked of a whole key: has
//!    the other side any row of it. With a further condition each such row has a count of its matches.
//! 3. A row may have any number of matches: after some of them the operator stops, and is resumed (`Operator::resume`).
//! 4. Insertions are joined as they come; retractions wait for the end of the epoch, when only net changes are left.
//!
//! A row whose key is NULL (where NULL does not equal NULL) matches nothing and is not kept.
//! The algebra is that of Budiu et al., DBSP, VLDB 2023.

mod residual;
mod side;
mod step;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use changelog::{ChangeBatch, ChangelogMode, Epoch, consolidate};
use state::{Matches, StateTable};

use super::keyed::{KeyedParts, KeyedShard, KeyedSpec};
use crate::shared_index::OperatorIndex;
use crate::{DataflowError, Expression, Operator, Output};
use side::Side;
use step::Step;

/// Rows of a side that shows whether it has matches wait for the end of the epoch, up to this many: until then
/// they would mostly be shown without a match first.
const WAITING_ROWS_MAX: usize = 256 << 10;

/// Which rows a join gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    /// Left columns, then right ones, of each pair.
    Inner,
    /// The same, and left rows without a match, with NULLs.
    Left,
    /// The same as inner, and right rows without a match, with NULLs.
    Right,
    /// The same as inner, and the rows of both sides without a match, with NULLs.
    Full,
    /// Left rows with a match.
    Semi,
    /// Left rows without a match.
    Anti,
    /// All left rows, with a boolean column that says whether there is a match.
    Mark,
}

impl JoinKind {
    /// Whether pairs are put out.
    fn gives_pairs(self) -> bool {
        matches!(self, JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full)
    }

    /// Whether the result of a row of this side (0 left, 1 right) depends on there being a match.
    fn shows_matches(self, side: usize) -> bool {
        match self {
            JoinKind::Inner => false,
            JoinKind::Left | JoinKind::Semi | JoinKind::Anti | JoinKind::Mark => side == 0,
            JoinKind::Right => side == 1,
            JoinKind::Full => true,
        }
    }
}

/// A join of two inputs.
#[derive(Clone, Debug)]
pub struct Join {
    /// Which rows it gives.
    pub kind: JoinKind,
    /// For the left and the right input, the columns that must be equal, pair by pair and of the same types.
    /// None: every row may match every other.
    pub keys: [Vec<usize>; 2],
    /// For each pair of key columns, whether NULL equals NULL.
    pub null_safe: Vec<bool>,
    /// What else must be true of a pair: over the left columns, then the right ones.
    pub residual: Option<Arc<dyn Expression>>,
    /// How many columns each input has.
    pub widths: [usize; 2],
    /// The condition's text.
    pub text: String,
}

impl Join {
    /// Without keys: the side of which every worker has all rows. The other one's are spread, and it alone may show whether
    /// it has matches; if both do, one worker does it all.
    fn replicated(&self) -> Option<usize> {
        match self.kind {
            _ if !self.keys[0].is_empty() => None,
            JoinKind::Full => None,
            JoinKind::Right => Some(0),
            _ => Some(1),
        }
    }

    /// The columns that decide which worker has a row of a side, or stores it if all have it.
    fn placing(&self, input: usize) -> Vec<usize> {
        match self.replicated() {
            Some(_) => (0..self.widths[input]).collect(),
            None => self.keys[input].clone(),
        }
    }
}

impl KeyedSpec for Join {
    fn title(&self) -> String {
        let kind = format!("{:?}", self.kind).to_lowercase();
        match self.text.is_empty() {
            true => format!("Join {kind}"),
            false => format!("Join {kind} on {}", self.text),
        }
    }

    fn canonical_text(&self) -> String {
        let residual = self.residual.as_ref().map(|residual| residual.text());
        format!("join {:?} {:?} {:?} {residual:?}", self.kind, self.keys, self.null_safe)
    }

    fn input_count(&self) -> usize {
        2
    }

    fn placement(&self, input: usize) -> Option<Vec<usize>> {
        Some(self.placing(input))
    }

    fn is_replicated(&self, input: usize) -> bool {
        self.replicated() == Some(input)
    }

    fn placed_by(&self) -> Option<Vec<usize>> {
        match self.kind {
            JoinKind::Right => Some(self.placing(1).iter().map(|column| column + self.widths[0]).collect()),
            JoinKind::Full => None,
            _ => Some(self.placing(0)),
        }
    }

    fn state_table_count(&self) -> usize {
        2
    }

    fn operator(&self, shard: &KeyedShard) -> Result<KeyedParts, DataflowError> {
        let sides = [Side::new(self, 0, shard), Side::new(self, 1, shard)];
        let tables = sides.iter().map(|side| side.store() as Arc<dyn StateTable>).collect();
        let operator = JoinOperator {
            spec: self.clone(),
            schema: Arc::clone(&shard.schema),
            sides,
            waiting: Default::default(),
            steps: VecDeque::new(),
            step: None,
            matches: Matches::default(),
        };
        Ok(KeyedParts { operator: Box::new(operator), tables })
    }
}

/// A join on one worker.
#[derive(Debug)]
struct JoinOperator {
    spec: Join,
    schema: SchemaRef,
    sides: [Side; 2],
    waiting: [Waiting; 2],
    /// Changes of a side that are to be joined, in order, and those that are being joined.
    steps: VecDeque<(usize, ChangeBatch)>,
    step: Option<Step>,
    /// Those of the batch of pairs at hand: kept for their memory.
    matches: Matches,
}

/// Changes of one side that are joined at the end of the epoch.
#[derive(Debug, Default)]
struct Waiting {
    batches: Vec<ChangeBatch>,
    row_count: usize,
    retracts: bool,
}

impl JoinOperator {
    /// Whether a batch is joined at once.
    fn is_joined_at_once(&self, input: usize, batch: &ChangeBatch) -> bool {
        inserts_only(batch)
            && !self.sides.iter().any(Side::is_shared)
            && (!self.spec.kind.shows_matches(input) || self.waiting[input].row_count > WAITING_ROWS_MAX)
    }
}

impl Operator for JoinOperator {
    fn apply(&mut self, input: usize, epoch: Epoch, batch: ChangeBatch, output: &mut Output) -> Result<(), ArrowError> {
        if self.is_joined_at_once(input, &batch) {
            self.begin(input, batch);
            return self.go_on(epoch, output);
        }
        let waiting = &mut self.waiting[input];
        waiting.row_count += batch.row_count();
        waiting.retracts |= !inserts_only(&batch);
        waiting.batches.push(batch);
        Ok(())
    }

    fn finish_epoch(&mut self, epoch: Epoch, _wanted: bool, output: &mut Output) -> Result<(), ArrowError> {
        // The side that shows its matches comes last: then it finds them. One with a shared index, which does not show
        // them, comes first: the other side is then as it was before the epoch, and later meets all of this one.
        let last_first = self.spec.kind.shows_matches(0) || self.sides[1].is_shared();
        let order = if last_first { [1, 0] } else { [0, 1] };
        for input in order {
            let waiting = std::mem::take(&mut self.waiting[input]);
            if waiting.batches.is_empty() {
                continue;
            }
            let all = ChangeBatch::concat(self.sides[input].schema(), &waiting.batches)?;
            let net = if waiting.retracts { consolidate(&all)? } else { all };
            if self.sides[input].is_shared() {
                self.sides[input].take(epoch, &net)?;
            }
            if !net.is_empty() {
                self.begin(input, net);
            }
        }
        self.go_on(epoch, output)
    }

    fn resume(&mut self, epoch: Epoch, output: &mut Output) -> Result<(), ArrowError> {
        self.go_on(epoch, output)
    }

    fn indexes(&self) -> Vec<OperatorIndex> {
        // Not where what is shown depends on which rows came before which others.
        let kind = self.spec.kind;
        let counts_held = |input: usize| self.spec.residual.is_some() && kind.shows_matches(1 - input);
        let shared =
            |input: &usize| !kind.shows_matches(*input) && !counts_held(*input) && !self.spec.keys[*input].is_empty();
        (0..2).filter(shared).map(|input| self.sides[input].index(input)).collect()
    }
}

fn inserts_only(batch: &ChangeBatch) -> bool {
    batch.weights().is_none_or(|weights| weights.iter().all(|weight| *weight > 0))
}

/// The mode of a join's result.
#[must_use]
pub fn join_mode(kind: JoinKind, left: ChangelogMode, right: ChangelogMode) -> ChangelogMode {
    match kind {
        JoinKind::Inner => left.or(right),
        JoinKind::Semi if left == ChangelogMode::AppendOnly && right == ChangelogMode::AppendOnly => left,
        _ => ChangelogMode::Retracting,
    }
}
