//! The frame of keyed operators: what layout, EXPLAIN and the runtime ask of one, so that an operator is one file.
//!
//! A spec is plain data and part of the plan. It says where rows must lie, which state there is and how it is shown, and makes
//! the operator for each worker.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use changelog::{ChangelogMode, StateTableId};
use state::{EpochPins, StateStore, StateTable};

use crate::{DataflowError, Operator};

/// What an operator does, as data.
pub trait KeyedSpec: Send + Sync + Debug {
    /// What EXPLAIN and metrics show, e.g. `Top-n 10 order by (price desc)`.
    fn title(&self) -> String;

    /// Equal for equal operators over equal inputs. Part of the stored format: it names the state tables.
    fn canonical_text(&self) -> String {
        self.title()
    }

    /// How many inputs there are.
    fn input_count(&self) -> usize {
        1
    }

    /// The columns of an input whose hash decides which worker takes a row. No columns: one worker takes all rows.
    /// `None`: rows may be taken wherever they are.
    fn placement(&self, input: usize) -> Option<Vec<usize>>;

    /// Whether every worker takes all rows of an input. `placement` is not asked then.
    fn is_replicated(&self, _input: usize) -> bool {
        false
    }

    /// The columns of the result whose hash says which worker a row is on, in the order of `placement`, if there
    /// are such.
    fn placed_by(&self) -> Option<Vec<usize>>;

    /// How many state tables there are.
    fn state_table_count(&self) -> usize;

    /// Makes the operator of one worker.
    ///
    /// # Errors
    /// If its state cannot be opened.
    fn operator(&self, shard: &KeyedShard) -> Result<KeyedParts, DataflowError>;
}

/// One worker's share of an operator.
#[derive(Debug)]
pub struct KeyedShard {
    /// As many ids as `state_table_count` says; all workers have the same.
    pub state_tables: Vec<StateTableId>,
    /// The worker's number, from 0.
    pub worker: usize,
    /// How many workers there are.
    pub worker_count: usize,
    /// The key groups whose rows come to this worker.
    pub key_groups: Range<u16>,
    /// Columns and mode of each input.
    pub inputs: Vec<(SchemaRef, ChangelogMode)>,
    /// The columns of the result.
    pub schema: SchemaRef,
    /// Whether the result may retract.
    pub mode: ChangelogMode,
    /// Which epochs can be read.
    pub pins: Arc<EpochPins>,
    /// Where state is read back from; `None` if it begins empty.
    pub store: Option<Arc<dyn StateStore>>,
    /// Whether checkpoints are made of the state.
    pub checkpointed: bool,
}

/// An operator, and all its state.
#[derive(Debug)]
pub struct KeyedParts {
    /// The operator.
    pub operator: Box<dyn Operator>,
    /// What checkpoints write.
    pub tables: Vec<Arc<dyn StateTable>>,
}
