//! Small expressions and batches for this crate's tests: all columns are `bigint`.

use std::any::Any;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use changelog::{
    Accumulator, AggregateFunction, ChangeBatch, ChangelogMode, Finished, GroupWords, Records, RelationId, RowError,
    Shape, SqlState, Weights,
};

use crate::operators::join::{Join, JoinKind, join_mode};
use crate::{AggregateCall, Column, DataflowPlan, Evaluated, Expression, Node, OperatorSpec, OutputIdentity};

/// Nullable `bigint` columns of these names.
pub(crate) fn schema(names: &[&str]) -> SchemaRef {
    Arc::new(Schema::new(names.iter().map(|name| Field::new(*name, DataType::Int64, true)).collect::<Vec<_>>()))
}

/// Changes of columns `a` and `b`, with weights.
pub(crate) fn batch(rows: &[(i64, i64, i64)]) -> ChangeBatch {
    let a: ArrayRef = Arc::new(rows.iter().map(|r| r.0).collect::<Int64Array>());
    let b: ArrayRef = Arc::new(rows.iter().map(|r| r.1).collect::<Int64Array>());
    let columns = RecordBatch::try_new(schema(&["a", "b"]), vec![a, b]).expect("two columns");
    ChangeBatch::weighted(columns, rows.iter().map(|r| r.2).collect())
}

/// A row's values and its weight.
pub(crate) type WeightedRow = (Vec<Option<i64>>, i64);

/// All rows of some batches, with their weights.
pub(crate) fn rows_of(batches: &[ChangeBatch]) -> Vec<WeightedRow> {
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.row_count() {
            rows.push((values_of(batch.rows(), row), batch.weight(row)));
        }
    }
    rows
}

/// The values of a row.
pub(crate) fn values_of(rows: &RecordBatch, row: usize) -> Vec<Option<i64>> {
    let value = |column: &ArrayRef| {
        let values = column.as_primitive::<Int64Type>();
        values.is_valid(row).then(|| values.value(row))
    };
    rows.columns().iter().map(value).collect()
}

/// The column at this place.
pub(crate) fn column(index: usize) -> Arc<dyn Expression> {
    Arc::new(Column { index, name: format!("c{index}"), data_type: DataType::Int64, nullable: true })
}

/// Whether a column is above a bound.
#[derive(Debug)]
pub(crate) struct Greater {
    column: usize,
    bound: i64,
    shape: Arc<dyn Shape>,
    places: [usize; 1],
}

impl Greater {
    pub(crate) fn new(column: usize, bound: i64) -> Greater {
        Greater { column, bound, shape: Arc::new(Above(bound)), places: [column] }
    }
}

impl Expression for Greater {
    fn evaluate(&self, rows: &RecordBatch) -> Evaluated {
        let values = rows.column(self.column).as_primitive::<Int64Type>();
        let values: BooleanArray = values.iter().map(|v| v.map(|v| v > self.bound)).collect();
        Evaluated { values: Arc::new(values), errors: Vec::new() }
    }

    fn data_type(&self) -> DataType {
        DataType::Boolean
    }

    fn nullable(&self) -> bool {
        true
    }

    fn fallible(&self) -> bool {
        false
    }

    fn shape(&self) -> Option<(&Arc<dyn Shape>, &[usize])> {
        Some((&self.shape, &self.places))
    }

    fn text(&self) -> String {
        format!("c{} > {}", self.column, self.bound)
    }
}

#[derive(Debug)]
struct Above(i64);

impl Shape for Above {
    fn is_equal(&self, other: &dyn Shape) -> bool {
        let other: &dyn Any = other;
        other.downcast_ref::<Above>().is_some_and(|other| other.0 == self.0)
    }

    fn fingerprint(&self) -> u64 {
        self.0 as u64
    }
}

/// One column divided by another; by zero it fails.
#[derive(Debug)]
pub(crate) struct Divide {
    pub left: usize,
    pub right: usize,
}

impl Divide {
    /// Whether the quotient is above a bound.
    pub(crate) fn greater(self, bound: i64) -> QuotientGreater {
        QuotientGreater { divide: self, bound }
    }
}

impl Expression for Divide {
    fn evaluate(&self, rows: &RecordBatch) -> Evaluated {
        let mut errors = Vec::new();
        let values: Int64Array = (0..rows.num_rows())
            .map(|row| {
                let values = values_of(rows, row);
                match (values[self.left], values[self.right]) {
                    (_, Some(0)) => {
                        errors.push((row, RowError::new(SqlState::DIVISION_BY_ZERO, "division by zero")));
                        None
                    }
                    (Some(left), Some(right)) => Some(left / right),
                    _ => None,
                }
            })
            .collect();
        Evaluated { values: Arc::new(values), errors }
    }

    fn data_type(&self) -> DataType {
        DataType::Int64
    }

    fn nullable(&self) -> bool {
        true
    }

    fn fallible(&self) -> bool {
        true
    }

    fn text(&self) -> String {
        format!("c{} / c{}", self.left, self.right)
    }
}

/// Whether a quotient is above a bound.
#[derive(Debug)]
pub(crate) struct QuotientGreater {
    divide: Divide,
    bound: i64,
}

impl Expression for QuotientGreater {
    fn evaluate(&self, rows: &RecordBatch) -> Evaluated {
        let quotient = self.divide.evaluate(rows);
        let values: BooleanArray =
            quotient.values.as_primitive::<Int64Type>().iter().map(|v| v.map(|v| v > self.bound)).collect();
        Evaluated { values: Arc::new(values), errors: quotient.errors }
    }

    fn data_type(&self) -> DataType {
        DataType::Boolean
    }

    fn nullable(&self) -> bool {
        true
    }

    fn fallible(&self) -> bool {
        true
    }

    fn text(&self) -> String {
        format!("{} > {}", self.divide.text(), self.bound)
    }
}

/// Panics when column 0 has this value.
#[derive(Debug)]
pub(crate) struct PanicsAt(pub i64);

impl Expression for PanicsAt {
    fn evaluate(&self, rows: &RecordBatch) -> Evaluated {
        let values = rows.column(0).as_primitive::<Int64Type>();
        assert!(values.iter().all(|v| v != Some(self.0)), "the poison value {} is in the batch", self.0);
        Evaluated { values: Arc::new(BooleanArray::from(vec![true; values.len()])), errors: Vec::new() }
    }

    fn data_type(&self) -> DataType {
        DataType::Boolean
    }

    fn nullable(&self) -> bool {
        false
    }

    fn fallible(&self) -> bool {
        false
    }

    fn text(&self) -> String {
        format!("panics at {}", self.0)
    }
}

/// `count(*)`, or `sum` of one bigint column, wrapping; NULL when there is nothing to add up.
#[derive(Clone, Debug)]
pub(crate) enum TestAggregate {
    Count,
    Sum,
}

impl AggregateFunction for TestAggregate {
    fn name(&self) -> &str {
        match self {
            TestAggregate::Count => "count",
            TestAggregate::Sum => "sum",
        }
    }

    fn result_type(&self) -> DataType {
        DataType::Int64
    }

    fn accumulator(&self, _mode: ChangelogMode) -> Box<dyn Accumulator> {
        Box::new(self.clone())
    }

    fn partial_types(&self, _mode: ChangelogMode) -> Option<Vec<DataType>> {
        Some(vec![DataType::Int64, DataType::Int64])
    }
}

impl Accumulator for TestAggregate {
    fn word_count(&self) -> usize {
        2
    }

    fn fold(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], arguments: &[ArrayRef], weights: Weights<'_>) {
        for (row, slot) in slots.iter().enumerate() {
            let weight = weights.map_or(1, |w| w[row]) as u64;
            let words = groups.at(*slot);
            match self {
                TestAggregate::Count => words[0] = words[0].wrapping_add(weight),
                TestAggregate::Sum => {
                    let values = arguments[0].as_primitive::<Int64Type>();
                    if values.is_valid(row) {
                        words[0] = words[0].wrapping_add((values.value(row) as u64).wrapping_mul(weight));
                        words[1] = words[1].wrapping_add(weight);
                    }
                }
            }
        }
    }

    fn finish(&self, records: &Records<'_>) -> Finished {
        let value = |words: &[u64]| match self {
            TestAggregate::Count => Some(words[0] as i64),
            TestAggregate::Sum => (words[1] != 0).then_some(words[0] as i64),
        };
        let values: Int64Array = records.iter().map(value).collect();
        Finished::from(Arc::new(values) as ArrayRef)
    }

    fn partial(&self, records: &Records<'_>) -> Option<Vec<ArrayRef>> {
        let word = |at: usize| records.iter().map(|words| words[at] as i64).collect::<Int64Array>();
        Some(vec![Arc::new(word(0)), Arc::new(word(1))])
    }

    fn merge(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], partials: &[ArrayRef]) {
        for (row, slot) in slots.iter().enumerate() {
            for (word, column) in groups.at(*slot).iter_mut().zip(partials) {
                *word = word.wrapping_add(column.as_primitive::<Int64Type>().value(row) as u64);
            }
        }
    }
}

/// A plan of bigint columns, built node by node.
#[derive(Default)]
pub(crate) struct PlanBuilder {
    nodes: Vec<Node>,
}

impl PlanBuilder {
    fn add(&mut self, spec: OperatorSpec, inputs: Vec<usize>, column_count: usize, mode: ChangelogMode) -> usize {
        let names: Vec<String> = (0..column_count).map(|i| format!("c{i}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.nodes.push(Node { spec, inputs, schema: schema(&names), mode });
        self.nodes.len() - 1
    }

    fn mode_of(&self, inputs: &[usize]) -> ChangelogMode {
        inputs.iter().fold(ChangelogMode::AppendOnly, |mode, input| mode.or(self.nodes[*input].mode))
    }

    fn width(&self, node: usize) -> usize {
        self.nodes[node].schema.fields().len()
    }

    pub(crate) fn input(&mut self, relation: u32, columns: &[usize], mode: ChangelogMode) -> usize {
        let spec = OperatorSpec::Input {
            relation: RelationId(relation),
            name: format!("r{relation}"),
            columns: columns.to_vec(),
        };
        self.add(spec, vec![], columns.len(), mode)
    }

    /// Any node over others.
    pub(crate) fn node(&mut self, spec: OperatorSpec, inputs: &[usize], column_count: usize) -> usize {
        self.add(spec, inputs.to_vec(), column_count, ChangelogMode::Retracting)
    }

    pub(crate) fn filter(&mut self, input: usize, predicate: impl Expression + 'static) -> usize {
        let (width, mode) = (self.width(input), self.mode_of(&[input]));
        self.add(OperatorSpec::Filter { predicate: Arc::new(predicate) }, vec![input], width, mode)
    }

    pub(crate) fn project(&mut self, input: usize, expressions: Vec<Arc<dyn Expression>>) -> usize {
        let (width, mode) = (expressions.len(), self.mode_of(&[input]));
        self.add(OperatorSpec::Project { expressions }, vec![input], width, mode)
    }

    pub(crate) fn union(&mut self, inputs: &[usize]) -> usize {
        let (width, mode) = (self.width(inputs[0]), self.mode_of(inputs));
        self.add(OperatorSpec::Union, inputs.to_vec(), width, mode)
    }

    /// `count(*)` and, for each column of `sums`, its sum, by `keys`.
    pub(crate) fn aggregate(&mut self, input: usize, keys: &[usize], sums: &[usize]) -> usize {
        let call = |function: TestAggregate, arguments: Vec<usize>| AggregateCall {
            text: format!("{}({arguments:?})", function.name()),
            function: Arc::new(function),
            arguments,
            order: Vec::new(),
            distinct: false,
            filter: None,
        };
        let mut aggregates = vec![call(TestAggregate::Count, vec![])];
        aggregates.extend(sums.iter().map(|column| call(TestAggregate::Sum, vec![*column])));
        let width = keys.len() + aggregates.len();
        let spec = OperatorSpec::Aggregate { keys: keys.to_vec(), aggregates };
        self.add(spec, vec![input], width, ChangelogMode::Retracting)
    }

    /// A join that gives pairs, of two inputs on equal columns.
    pub(crate) fn join(&mut self, kind: JoinKind, inputs: [usize; 2], keys: &[usize]) -> usize {
        let modes = inputs.map(|input| self.nodes[input].mode);
        let (width, mode) = (self.width(inputs[0]) + self.width(inputs[1]), join_mode(kind, modes[0], modes[1]));
        let join = Join {
            kind,
            keys: [keys.to_vec(), keys.to_vec()],
            null_safe: vec![false; keys.len()],
            residual: None,
            widths: inputs.map(|input| self.width(input)),
            text: String::new(),
        };
        self.add(OperatorSpec::Keyed(Arc::new(join)), inputs.to_vec(), width, mode)
    }

    pub(crate) fn output(mut self, identity: OutputIdentity) -> DataflowPlan {
        let input = self.nodes.len() - 1;
        let (width, mode) = (self.width(input), self.mode_of(&[input]));
        self.add(OperatorSpec::Output { identity }, vec![input], width, mode);
        DataflowPlan { nodes: self.nodes }.with_preaggregation()
    }
}
