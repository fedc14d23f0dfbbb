//! OVER: each row's partition is sorted, its frame is found by looking at every row of the partition.

use std::cmp::Ordering;
use std::ops::Range;

use super::aggregate::Call;
use super::exact::Decimal;
use super::expression::{Expression, Scope};
use super::order::{Order, compare_rows, order_sql};
use super::query::{Context, Relations, filtered, reaches_limits, result_column, where_sql};
use super::source::Source;
use super::value::{Column, Type, Value};
use super::{Failure, Row};

/// Expressions and window functions over the rows of a source.
#[derive(Clone, Debug)]
pub struct Window {
    /// FROM
    pub source: Source,
    /// WHERE
    pub filter: Option<Expression>,
    /// What is put out first.
    pub expressions: Vec<Expression>,
    /// Then these.
    pub calls: Vec<WindowCall>,
}

/// A window function and its window.
#[derive(Clone, Debug)]
pub struct WindowCall {
    /// The function.
    pub function: WindowFunction,
    /// PARTITION BY: columns of the source.
    pub partition: Vec<usize>,
    /// ORDER BY
    pub order: Vec<Order>,
    /// The frame, if it is not the default.
    pub frame: Option<Frame>,
}

/// A window function.
#[derive(Clone, Debug)]
pub enum WindowFunction {
    /// row_number()
    RowNumber,
    /// rank()
    Rank,
    /// dense_rank()
    DenseRank,
    /// percent_rank()
    PercentRank,
    /// cume_dist()
    CumeDist,
    /// ntile(n)
    Ntile(i64),
    /// lag(x, n)
    Lag(Expression, usize),
    /// lead(x, n)
    Lead(Expression, usize),
    /// first_value(x)
    First(Expression),
    /// last_value(x)
    Last(Expression),
    /// nth_value(x, n)
    Nth(Expression, usize),
    /// An aggregate over the frame.
    Aggregate(Call),
}

/// Which rows around a row a function sees.
#[derive(Clone, Debug)]
pub struct Frame {
    /// What bounds count.
    pub unit: FrameUnit,
    /// The first row.
    pub start: Bound,
    /// The last row.
    pub end: Bound,
    /// What is left out.
    pub exclude: Exclude,
}

/// What bounds count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameUnit {
    /// Rows.
    Rows,
    /// Values of the one ORDER BY column.
    Range,
    /// Groups of peers.
    Groups,
}

/// A bound of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// UNBOUNDED PRECEDING or FOLLOWING, as the place says.
    Unbounded,
    /// CURRENT ROW
    Current,
    /// n PRECEDING
    Preceding(i64),
    /// n FOLLOWING
    Following(i64),
}

/// What a frame leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exclude {
    /// Nothing.
    NoOthers,
    /// The row itself.
    CurrentRow,
    /// The row and its peers.
    Group,
    /// The row's peers.
    Ties,
}

impl Window {
    /// The columns it puts out.
    #[must_use]
    pub fn columns(&self, relations: &dyn Relations) -> Vec<Column> {
        let input = self.source.columns(relations);
        let expressions = self.expressions.iter().map(|e| (e.kind(&input), reaches_limits(e, &input)));
        let calls = self.calls.iter().map(|c| c.function.kind(&input));
        expressions.chain(calls).enumerate().map(|(i, (kind, extreme))| result_column(i, kind, extreme)).collect()
    }

    /// Its text.
    #[must_use]
    pub fn sql(&self, relations: &dyn Relations) -> String {
        let input = self.source.columns(relations);
        let list: Vec<String> = self
            .expressions
            .iter()
            .map(|e| e.sql(&input))
            .chain(self.calls.iter().map(|c| c.sql(&input)))
            .enumerate()
            .map(|(i, e)| format!("{e} AS c{i}"))
            .collect();
        let source = self.source.sql(relations);
        format!("SELECT {} FROM {source}{}", list.join(", "), where_sql(&self.filter, &input))
    }

    /// Its rows.
    ///
    /// # Errors
    /// That of an expression.
    pub fn rows(&self, context: &Context<'_>) -> Result<Vec<Row>, Failure> {
        let columns = &self.source.columns(context.relations);
        let rows = filtered(self.source.rows(context)?, &self.filter, columns, context)?;
        let mut results: Vec<Row> = Vec::with_capacity(rows.len());
        for row in &rows {
            let scope = Scope { row, columns, context: *context };
            results.push(self.expressions.iter().map(|e| e.value(&scope)).collect::<Result<_, _>>()?);
        }
        for call in &self.calls {
            for partition in call.partitions(&rows) {
                let sorted = Sorted::new(&call.order, partition.iter().map(|place| &rows[*place]).collect());
                // Rows with one frame have one value: what is computed from all rows is computed once.
                let mut last: Option<(Vec<usize>, Value)> = None;
                for (at, place) in partition.iter().enumerate() {
                    let frame = call.frame_rows(&sorted, at);
                    let value = match last.take().filter(|(rows, _)| call.is_of_frame() && *rows == frame) {
                        Some((_, value)) => value,
                        None => call.value(&sorted, at, &frame, columns, context)?,
                    };
                    last = Some((frame, value.clone()));
                    results[*place].push(value);
                }
            }
        }
        Ok(results)
    }
}

/// A partition's rows in order.
struct Sorted<'a> {
    rows: Vec<&'a Row>,
    /// How many groups of peers (rows that are equal in ORDER BY) come before that of each row.
    groups: Vec<usize>,
}

impl<'a> Sorted<'a> {
    fn new(order: &[Order], rows: Vec<&'a Row>) -> Sorted<'a> {
        let mut groups = Vec::with_capacity(rows.len());
        for (place, row) in rows.iter().enumerate() {
            groups.push(match place.checked_sub(1) {
                None => 0,
                Some(before) => groups[before] + usize::from(compare_rows(order, rows[before], row).is_ne()),
            });
        }
        Sorted { rows, groups }
    }

    /// The peers of a row, itself among them.
    fn peers(&self, at: usize) -> Range<usize> {
        let group = self.groups[at];
        self.groups.partition_point(|other| *other < group)..self.groups.partition_point(|other| *other <= group)
    }
}

impl WindowFunction {
    fn kind(&self, columns: &[Column]) -> (Type, bool) {
        match self {
            WindowFunction::RowNumber | WindowFunction::Rank | WindowFunction::DenseRank => (Type::BigInt, false),
            WindowFunction::Ntile(_) => (Type::Integer, false),
            WindowFunction::PercentRank | WindowFunction::CumeDist => (Type::Approximate, false),
            WindowFunction::Lag(e, _)
            | WindowFunction::Lead(e, _)
            | WindowFunction::First(e)
            | WindowFunction::Last(e)
            | WindowFunction::Nth(e, _) => (e.kind(columns), reaches_limits(e, columns)),
            WindowFunction::Aggregate(call) => (call.kind(columns), true),
        }
    }

    fn sql(&self, columns: &[Column]) -> String {
        match self {
            WindowFunction::RowNumber => "row_number()".into(),
            WindowFunction::Rank => "rank()".into(),
            WindowFunction::DenseRank => "dense_rank()".into(),
            WindowFunction::PercentRank => "percent_rank()".into(),
            WindowFunction::CumeDist => "cume_dist()".into(),
            WindowFunction::Ntile(n) => format!("ntile({n})"),
            WindowFunction::Lag(e, n) => format!("lag({}, {n})", e.sql(columns)),
            WindowFunction::Lead(e, n) => format!("lead({}, {n})", e.sql(columns)),
            WindowFunction::First(e) => format!("first_value({})", e.sql(columns)),
            WindowFunction::Last(e) => format!("last_value({})", e.sql(columns)),
            WindowFunction::Nth(e, n) => format!("nth_value({}, {n})", e.sql(columns)),
            WindowFunction::Aggregate(call) => call.sql(columns),
        }
    }
}

impl WindowCall {
    fn sql(&self, columns: &[Column]) -> String {
        let names: Vec<&str> = self.partition.iter().map(|c| columns[*c].name.as_str()).collect();
        let partition = if names.is_empty() { String::new() } else { format!("PARTITION BY {}", names.join(", ")) };
        let order = order_sql(&self.order, columns);
        let frame = self.frame.as_ref().map_or_else(String::new, |f| format!(" {}", f.sql()));
        format!("{} OVER ({})", self.function.sql(columns), format!("{partition}{order}{frame}").trim())
    }

    /// The places of each partition's rows, in its order.
    fn partitions(&self, rows: &[Row]) -> Vec<Vec<usize>> {
        let mut partitions: Vec<Vec<usize>> = Vec::new();
        for (place, row) in rows.iter().enumerate() {
            let is_own = |other: &&mut Vec<usize>| self.partition.iter().all(|c| rows[other[0]][*c].same(&row[*c]));
            match partitions.iter_mut().find(is_own) {
                Some(partition) => partition.push(place),
                None => partitions.push(vec![place]),
            }
        }
        for partition in &mut partitions {
            partition.sort_by(|a, b| compare_rows(&self.order, &rows[*a], &rows[*b]));
        }
        partitions
    }

    /// Whether the value depends on nothing but the rows of the frame.
    fn is_of_frame(&self) -> bool {
        matches!(
            self.function,
            WindowFunction::First(_) | WindowFunction::Last(_) | WindowFunction::Nth(..) | WindowFunction::Aggregate(_)
        )
    }

    /// The value for the row at a place of its sorted partition, given the places of the rows in its frame.
    fn value(
        &self,
        sorted: &Sorted<'_>,
        at: usize,
        frame: &[usize],
        columns: &[Column],
        context: &Context<'_>,
    ) -> Result<Value, Failure> {
        let of = |place: usize, e: &Expression| e.value(&Scope { row: sorted.rows[place], columns, context: *context });
        let peers = sorted.peers(at);
        let count = sorted.rows.len();
        Ok(match &self.function {
            WindowFunction::RowNumber => Value::Integer(at as i64 + 1),
            WindowFunction::Rank => Value::Integer(peers.start as i64 + 1),
            WindowFunction::DenseRank => Value::Integer(sorted.groups[at] as i64 + 1),
            WindowFunction::PercentRank if count == 1 => Value::Float(0.0),
            WindowFunction::PercentRank => Value::Float(peers.start as f64 / (count - 1) as f64),
            WindowFunction::CumeDist => Value::Float(peers.end as f64 / count as f64),
            WindowFunction::Ntile(n) => Value::Integer(ntile(at as i64, count as i64, *n)),
            WindowFunction::Lag(e, n) => at.checked_sub(*n).map_or(Ok(Value::Null), |place| of(place, e))?,
            WindowFunction::Lead(e, n) if at + n < count => of(at + n, e)?,
            WindowFunction::Lead(..) => Value::Null,
            WindowFunction::First(e) => frame.first().map_or(Ok(Value::Null), |place| of(*place, e))?,
            WindowFunction::Last(e) => frame.last().map_or(Ok(Value::Null), |place| of(*place, e))?,
            WindowFunction::Nth(e, n) => frame.get(n - 1).map_or(Ok(Value::Null), |place| of(*place, e))?,
            WindowFunction::Aggregate(call) => {
                let rows: Vec<&Row> = frame.iter().map(|place| sorted.rows[*place]).collect();
                call.value(&rows, columns, context)?
            }
        })
    }

    /// The places of the rows in a row's frame.
    fn frame_rows(&self, sorted: &Sorted<'_>, at: usize) -> Vec<usize> {
        let peers = sorted.peers(at);
        let Some(frame) = &self.frame else {
            return (0..peers.end).collect();
        };
        let within = |place: usize| {
            !self.is_before(frame, frame.start, sorted, at, place)
                && !self.is_after(frame, frame.end, sorted, at, place)
        };
        let kept = |place: usize| match frame.exclude {
            Exclude::NoOthers => true,
            Exclude::CurrentRow => place != at,
            Exclude::Group => !peers.contains(&place),
            Exclude::Ties => place == at || !peers.contains(&place),
        };
        (0..sorted.rows.len()).filter(|place| within(*place) && kept(*place)).collect()
    }

    fn is_before(&self, frame: &Frame, start: Bound, sorted: &Sorted<'_>, at: usize, place: usize) -> bool {
        start != Bound::Unbounded && self.compare_with_bound(frame, start, sorted, at, place).is_lt()
    }

    fn is_after(&self, frame: &Frame, end: Bound, sorted: &Sorted<'_>, at: usize, place: usize) -> bool {
        end != Bound::Unbounded && self.compare_with_bound(frame, end, sorted, at, place).is_gt()
    }

    /// Where a row lies as seen from a bound.
    fn compare_with_bound(
        &self,
        frame: &Frame,
        bound: Bound,
        sorted: &Sorted<'_>,
        at: usize,
        place: usize,
    ) -> Ordering {
        let offset = match bound {
            Bound::Preceding(n) => -n,
            Bound::Following(n) => n,
            _ => 0,
        };
        match frame.unit {
            FrameUnit::Rows => (place as i64).cmp(&(at as i64 + offset)),
            FrameUnit::Groups => (sorted.groups[place] as i64).cmp(&(sorted.groups[at] as i64 + offset)),
            FrameUnit::Range if offset == 0 => sorted.groups[place].cmp(&sorted.groups[at]),
            FrameUnit::Range => {
                let order = &self.order[0];
                let (value, own) = (&sorted.rows[place][order.column], &sorted.rows[at][order.column]);
                if value.is_null() || own.is_null() {
                    return order.compare(value, own);
                }
                let step = Decimal::from_integer(if order.descending { -offset } else { offset });
                order.compare(&Value::Numeric(value.decimal()), &Value::Numeric(own.decimal().add(&step)))
            }
        }
    }
}

impl Frame {
    fn sql(&self) -> String {
        let unit = match self.unit {
            FrameUnit::Rows => "ROWS",
            FrameUnit::Range => "RANGE",
            FrameUnit::Groups => "GROUPS",
        };
        let bound = |bound: Bound, unbounded: &str| match bound {
            Bound::Unbounded => format!("UNBOUNDED {unbounded}"),
            Bound::Current => "CURRENT ROW".into(),
            Bound::Preceding(n) => format!("{n} PRECEDING"),
            Bound::Following(n) => format!("{n} FOLLOWING"),
        };
        let exclude = match self.exclude {
            Exclude::NoOthers => "",
            Exclude::CurrentRow => " EXCLUDE CURRENT ROW",
            Exclude::Group => " EXCLUDE GROUP",
            Exclude::Ties => " EXCLUDE TIES",
        };
        format!("{unit} BETWEEN {} AND {}{exclude}", bound(self.start, "PRECEDING"), bound(self.end, "FOLLOWING"))
    }
}

/// The first buckets have one row more where rows don't divide evenly.
fn ntile(at: i64, count: i64, buckets: i64) -> i64 {
    let (size, larger) = (count / buckets, count % buckets);
    if at < larger * (size + 1) { at / (size + 1) + 1 } else { larger + (at - larger * (size + 1)) / size + 1 }
}
