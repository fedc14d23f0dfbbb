//! The join against nested loops over lists of rows, after each epoch of random changes and after restarts.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use changelog::{ChangelogMode, RowError, SqlState, StateTableId};
use proptest::prelude::*;
use state::{Checkpointer, EpochPins, MemoryStore, StateStore, StateTables, WriteSet};

use super::*;
use crate::Evaluated;
use crate::operators::keyed::KeyedShard;
use crate::testing::{schema, values_of};

type Row = [Option<i64>; 2];
type Result = BTreeMap<Vec<Option<i64>>, i64>;

/// Whether the second column of the left row is below that of the right one; the pair (3, 3) fails.
#[derive(Debug)]
struct Below;

impl Expression for Below {
    fn evaluate(&self, rows: &RecordBatch) -> Evaluated {
        let (left, right) = (rows.column(1).as_primitive::<Int64Type>(), rows.column(3).as_primitive::<Int64Type>());
        let values: BooleanArray = left.iter().zip(right).map(|pair| Some(pair.0? < pair.1?)).collect();
        let fails = (0..values.len()).filter(|row| {
            !left.is_null(*row) && left.value(*row) == 3 && right.is_valid(*row) && right.value(*row) == 3
        });
        let errors = fails.map(|row| (row, RowError::new(SqlState(*b"22012"), "three"))).collect();
        Evaluated { values: Arc::new(values), errors }
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
        "below".to_owned()
    }
}

#[derive(Clone, Debug)]
struct Case {
    kind: JoinKind,
    keyed: bool,
    null_safe: bool,
    residual: bool,
}

impl Case {
    fn join(&self) -> Join {
        let keys = if self.keyed { vec![0] } else { Vec::new() };
        Join {
            kind: self.kind,
            keys: [keys.clone(), keys.clone()],
            null_safe: keys.iter().map(|_| self.null_safe).collect(),
            residual: self.residual.then(|| Arc::new(Below) as Arc<dyn Expression>),
            widths: [2, 2],
            text: String::new(),
        }
    }

    fn is_match(&self, left: Row, right: Row) -> bool {
        let equal = left[0] == right[0] && (self.null_safe || left[0].is_some());
        let below = matches!((left[1], right[1]), (Some(l), Some(r)) if l < r);
        (!self.keyed || equal) && (!self.residual || below)
    }

    fn schema(&self) -> SchemaRef {
        match self.kind {
            JoinKind::Semi | JoinKind::Anti => schema(&["a", "b"]),
            JoinKind::Mark => {
                let fields = schema(&["a", "b"]).fields().iter().map(|f| f.as_ref().clone()).collect::<Vec<_>>();
                let mark = Field::new("mark", DataType::Boolean, false);
                Arc::new(Schema::new(fields.into_iter().chain([mark]).collect::<Vec<_>>()))
            }
            _ => schema(&["a", "b", "c", "d"]),
        }
    }

    fn expected(&self, sides: &[BTreeMap<Row, i64>; 2]) -> Result {
        let mut result = Result::new();
        let mut add = |row: Vec<Option<i64>>, weight: i64| *result.entry(row).or_default() += weight;
        for (left, n) in &sides[0] {
            let mut matched = false;
            for (right, m) in sides[1].iter().filter(|(right, m)| **m > 0 && self.is_match(*left, **right)) {
                matched |= *m > 0;
                if self.kind.gives_pairs() {
                    add(left.iter().chain(right).copied().collect(), n * m);
                }
            }
            match self.kind {
                JoinKind::Left | JoinKind::Full if !matched => add(vec![left[0], left[1], None, None], *n),
                JoinKind::Semi if matched => add(left.to_vec(), *n),
                JoinKind::Anti if !matched => add(left.to_vec(), *n),
                JoinKind::Mark => add(vec![left[0], left[1], Some(i64::from(matched))], *n),
                _ => {}
            }
        }
        if self.kind.shows_matches(1) {
            for (right, m) in &sides[1] {
                if !sides[0].iter().any(|(left, n)| *n > 0 && self.is_match(*left, *right)) {
                    add(vec![None, None, right[0], right[1]], *m);
                }
            }
        }
        result.retain(|_, weight| *weight != 0);
        result
    }
}

fn batch_of(rows: &[(Row, i64)]) -> ChangeBatch {
    let column = |at: usize| Arc::new(rows.iter().map(|(row, _)| row[at]).collect::<Int64Array>()) as _;
    let batch = RecordBatch::try_new(schema(&["a", "b"]), vec![column(0), column(1)]).expect("two columns");
    match rows.iter().all(|(_, weight)| *weight == 1) {
        true => ChangeBatch::insertions(batch),
        false => ChangeBatch::weighted(batch, rows.iter().map(|(_, weight)| *weight).collect()),
    }
}

/// A join and its checkpoints.
struct Running {
    case: Case,
    pins: Arc<EpochPins>,
    memory: Arc<MemoryStore>,
    tables: Arc<StateTables>,
    operator: Box<dyn Operator>,
    result: Result,
    errors: BTreeMap<String, i64>,
}

impl Running {
    fn new(case: &Case) -> Running {
        let (pins, memory) = (EpochPins::new(), MemoryStore::new());
        let (operator, tables) = Running::open(case, &pins, None);
        Running { case: case.clone(), pins, memory, tables, operator, result: Result::new(), errors: BTreeMap::new() }
    }

    fn open(
        case: &Case,
        pins: &Arc<EpochPins>,
        store: Option<Arc<dyn StateStore>>,
    ) -> (Box<dyn Operator>, Arc<StateTables>) {
        let input = || (schema(&["a", "b"]), ChangelogMode::Retracting);
        let shard = KeyedShard {
            state_tables: vec![StateTableId(1), StateTableId(2)],
            worker: 0,
            worker_count: 1,
            key_groups: 0..256,
            inputs: vec![input(), input()],
            schema: case.schema(),
            mode: ChangelogMode::Retracting,
            pins: Arc::clone(pins),
            store,
            checkpointed: false,
        };
        let parts = case.join().operator(&shard).expect("opens");
        let tables = StateTables::new();
        parts.tables.into_iter().for_each(|table| tables.add(0, table));
        (parts.operator, tables)
    }

    /// Resumes a call until it is done.
    fn go_on(&mut self, epoch: Epoch, output: &mut Output) {
        while std::mem::take(&mut output.more) {
            self.operator.resume(epoch, output).expect("goes on");
        }
    }

    fn take(&mut self, output: Output) {
        for batch in &output.changes {
            for row in 0..batch.row_count() {
                let mut values = values_of(&batch.rows().project(&[0, 1]).expect("two columns"), row);
                match self.case.kind {
                    JoinKind::Mark => values.push(Some(i64::from(batch.rows().column(2).as_boolean().value(row)))),
                    kind if kind.gives_pairs() => values = values_of(batch.rows(), row),
                    _ => {}
                }
                *self.result.entry(values).or_default() += batch.weight(row);
            }
        }
        for (error, weight) in output.errors {
            *self.errors.entry(error.message.to_string()).or_default() += weight;
        }
    }

    fn checkpoint_and_reopen(&mut self, epoch: Epoch) {
        let begun = Checkpointer::new(Arc::clone(&self.memory) as _).begin(epoch, &self.tables);
        begun.write(WriteSet::default()).expect("writes");
        (self.operator, self.tables) = Running::open(&self.case, &self.pins, Some(Arc::clone(&self.memory) as _));
    }
}

fn value() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![1 => Just(None), 5 => (1..4i64).prop_map(Some)]
}

type Change = (usize, Row, bool, bool);

fn change() -> impl Strategy<Value = Change> {
    (0..2usize, [value(), value()], any::<bool>(), any::<bool>())
}

fn case() -> impl Strategy<Value = Case> {
    use JoinKind::*;
    (
        prop::sample::select(vec![Inner, Left, Right, Full, Semi, Anti, Mark]),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(kind, keyed, null_safe, residual)| Case { kind, keyed, null_safe, residual })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]
    #[test]
    fn a_join_is_what_nested_loops_give(
        case in case(),
        epochs in prop::collection::vec((prop::collection::vec(change(), 0..12), 0..6u8), 1..14),
    ) {
        let mut running = Running::new(&case);
        let mut sides: [BTreeMap<Row, i64>; 2] = Default::default();
        for (number, (changes, what)) in epochs.into_iter().enumerate() {
            let epoch = Epoch(number as u64 + 1);
            let mut output = Output::default();
            for (side, row, insert, apart) in changes {
                let held = sides[side].get(&row).copied().unwrap_or(0);
                let mut rows = vec![(row, 1)];
                if !insert && held > 0 {
                    // A deletion, or an update of the second column.
                    rows[0].1 = -1;
                    if apart {
                        rows.push(([row[0], row[1].map(|v| v % 3 + 1)], 1));
                    }
                } else if apart {
                    rows[0].1 = 2;
                }
                for (row, weight) in &rows {
                    *sides[side].entry(*row).or_default() += weight;
                }
                sides[side].retain(|_, n| *n != 0);
                running.operator.apply(side, epoch, batch_of(&rows), &mut output).expect("applies");
                running.go_on(epoch, &mut output);
            }
            running.operator.finish_epoch(epoch, true, &mut output).expect("finishes");
            running.go_on(epoch, &mut output);
            running.take(output);
            running.pins.publish(epoch);
            running.result.retain(|_, weight| *weight != 0);
            prop_assert_eq!(&running.result, &case.expected(&sides), "{:?} after {:?}", case, sides);
            let failing = |side: usize| sides[side].iter().filter(|(row, _)| row[1] == Some(3));
            let pairs = failing(0).flat_map(|(l, n)| failing(1).map(move |(r, m)| (l, r, n * m)));
            let keys_match = |l: &Row, r: &Row| !case.keyed || (l[0] == r[0] && (case.null_safe || l[0].is_some()));
            let expected: i64 = pairs.filter(|(l, r, _)| case.residual && keys_match(l, r)).map(|p| p.2).sum();
            prop_assert_eq!(running.errors.get("three").copied().unwrap_or(0), expected);
            if what == 0 {
                running.checkpoint_and_reopen(epoch);
            }
        }
    }
}

/// Puts `ROWS` rows of one key into a side, then one of that key into the other, and gives the rows of each output that
/// this makes.
fn outputs_of_one_row(kind: JoinKind, many: usize) -> Vec<usize> {
    let case = Case { kind, keyed: true, null_safe: false, residual: false };
    let mut running = Running::new(&case);
    let rows: Vec<(Row, i64)> = (0..FANNED_OUT).map(|n| ([Some(1), Some(n)], 1)).collect();
    let mut output = Output::default();
    running.operator.apply(many, Epoch(1), batch_of(&rows), &mut output).expect("applies");
    running.operator.finish_epoch(Epoch(1), true, &mut output).expect("finishes");
    running.go_on(Epoch(1), &mut output);
    let mut rows = Vec::new();
    let mut next = |output: Output| {
        rows.push(output.changes.iter().map(ChangeBatch::row_count).sum());
        output.more
    };
    let mut output = Output::default();
    running.operator.apply(1 - many, Epoch(2), batch_of(&[([Some(1), None], 1)]), &mut output).expect("applies");
    let mut more = next(output);
    for finished in [false, true] {
        if finished {
            let mut output = Output::default();
            running.operator.finish_epoch(Epoch(2), true, &mut output).expect("finishes");
            more = next(output);
        }
        while more {
            let mut output = Output::default();
            running.operator.resume(Epoch(2), &mut output).expect("goes on");
            more = next(output);
        }
    }
    rows
}

const FANNED_OUT: i64 = 300_000;

#[test]
fn a_row_with_many_matches_comes_in_pieces() {
    for (kind, many, expected) in [
        (JoinKind::Inner, 0, FANNED_OUT),
        (JoinKind::Inner, 1, FANNED_OUT),
        (JoinKind::Semi, 0, FANNED_OUT),
        (JoinKind::Anti, 0, FANNED_OUT),
        // Pairs, and rows that have a match now.
        (JoinKind::Left, 0, 2 * FANNED_OUT),
        (JoinKind::Full, 1, 2 * FANNED_OUT),
        (JoinKind::Mark, 0, 2 * FANNED_OUT),
    ] {
        let outputs = outputs_of_one_row(kind, many);
        assert_eq!(outputs.iter().sum::<usize>() as i64, expected, "{kind:?}");
        // As many pairs as a call takes and a batch more; a row that is shown anew is put out twice.
        assert!(outputs.iter().all(|rows| *rows <= (2 * (64 + 16)) << 10), "{kind:?}: {outputs:?}");
    }
}
