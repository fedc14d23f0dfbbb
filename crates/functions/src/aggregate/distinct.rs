//! DISTINCT aggregates of one-off queries: keeps the distinct argument rows of a group and folds
//! them when the result is read. (Views keep a distinct set in the aggregate operator.)
//!
//! The state is one binary value: for each distinct row its length (u32 LE) and its row bytes.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::DataType;
use changelog::{AggregateFunction, ChangelogMode, RowCodec, canonical_key};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err};
use datafusion::logical_expr::{Accumulator as RowAccumulator, EmitTo};

use super::udaf::Groups;

#[derive(Debug)]
pub(super) struct DistinctAccumulator {
    function: Arc<dyn AggregateFunction>,
    codec: RowCodec,
    /// Which columns of what DataFusion hands over are folded.
    columns: Vec<usize>,
    /// Ordered, so that the fold is the same whatever the order of input.
    rows: BTreeSet<Box<[u8]>>,
    heap_bytes: usize,
}

impl DistinctAccumulator {
    /// For some of the columns that DataFusion hands over, of these types.
    pub(super) fn new(
        function: Arc<dyn AggregateFunction>,
        columns: Vec<usize>,
        types: Vec<DataType>,
    ) -> DistinctAccumulator {
        DistinctAccumulator { function, codec: RowCodec::new(types), columns, rows: BTreeSet::new(), heap_bytes: 0 }
    }

    fn insert(&mut self, row: &[u8]) {
        if !self.rows.contains(row) {
            self.heap_bytes += row.len() + 32;
            self.rows.insert(row.into());
        }
    }
}

impl RowAccumulator for DistinctAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let columns: Vec<ArrayRef> = self.columns.iter().map(|column| canonical_key(&values[*column])).collect();
        let rows = self.codec.encode(&columns);
        for i in 0..rows.row_count() {
            self.insert(rows.row(i));
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut groups = Groups::new(Arc::clone(&self.function), ChangelogMode::AppendOnly);
        groups.reserve(1);
        let columns = self.codec.decode(self.rows.iter().map(|row| &**row));
        let columns = columns.map_err(|error| exec_datafusion_err!("distinct rows: {error}"))?;
        groups.fold(&vec![0; self.rows.len()], &columns, None);
        ScalarValue::try_from_array(&groups.values(EmitTo::All)?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let mut bytes = Vec::with_capacity(self.heap_bytes);
        for row in &self.rows {
            bytes.extend_from_slice(&(row.len() as u32).to_le_bytes());
            bytes.extend_from_slice(row);
        }
        Ok(vec![ScalarValue::Binary(Some(bytes))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for state in states[0].as_binary::<i32>().iter().flatten() {
            let mut rest = state;
            while let Some((length, after)) = rest.split_first_chunk::<4>() {
                let length = u32::from_le_bytes(*length) as usize;
                let (row, after) = after
                    .split_at_checked(length)
                    .ok_or_else(|| exec_datafusion_err!("distinct state is cut short"))?;
                self.insert(row);
                rest = after;
            }
        }
        Ok(())
    }

    fn size(&self) -> usize {
        size_of::<DistinctAccumulator>() + self.heap_bytes
    }
}
