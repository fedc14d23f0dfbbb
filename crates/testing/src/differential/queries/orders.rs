//! Random queries whose answer depends on an order: top-n, DISTINCT ON, windows. Where ties would leave the answer open the
//! order is by all columns.

use rand::Rng;

use super::Queries;
use crate::differential::tables::one_of;
use crate::reference::{
    Bound, Call, Column, Comparison, DistinctOn, Exclude, Expression, Frame, FrameUnit, Function, Order, Plain, Query,
    Source, Top, Type, Value, Window, WindowCall, WindowFunction,
};

/// Whether values of a type have an order that all agree on.
fn is_orderable(kind: Type) -> bool {
    !matches!(kind, Type::Quotient | Type::Approximate | Type::Array)
}

impl Queries<'_> {
    /// LIMIT and OFFSET in a total order, or WITH TIES in any.
    pub(super) fn top(&mut self) -> Query {
        let query = match self.rng.random_range(0..4) {
            0 => Query::Group(self.group(0)),
            1 => self.set_operation(0),
            _ => Query::Plain(self.plain(0)),
        };
        let columns = query.columns(self.relations);
        if !columns.iter().all(|c| is_orderable(c.kind)) {
            return query;
        }
        let with_ties = self.rng.random_bool(0.3);
        let order = self.order(&columns, !with_ties);
        if order.is_empty() {
            return query;
        }
        let limit = if with_ties || self.rng.random_bool(0.9) { Some(self.rng.random_range(1..=5)) } else { None };
        let offset = if with_ties || self.rng.random_bool(0.6) { 0 } else { self.rng.random_range(1..=4) };
        Query::Top(Box::new(Top { query, order, limit, offset, with_ties }))
    }

    pub(super) fn distinct_on(&mut self) -> Query {
        let plain = self.plain(0);
        let columns = Query::Plain(plain.clone()).columns(self.relations);
        let keys = self.rng.random_range(1..=columns.len().min(2));
        let rest = (keys..columns.len()).collect::<Vec<_>>();
        let mut order: Vec<Order> = (0..keys).map(|column| self.order_by(column)).collect();
        order.extend(self.shuffled(rest).into_iter().map(|column| self.order_by(column)).collect::<Vec<_>>());
        Query::DistinctOn(DistinctOn { plain, keys, order })
    }

    /// An order of columns: of all, or of some.
    fn order(&mut self, columns: &[Column], total: bool) -> Vec<Order> {
        let places: Vec<usize> = (0..columns.len()).filter(|i| is_orderable(columns[*i].kind)).collect();
        let mut places = self.shuffled(places);
        if !total {
            places.truncate(self.rng.random_range(1..=2));
        }
        places.into_iter().map(|column| self.order_by(column)).collect()
    }

    fn order_by(&mut self, column: usize) -> Order {
        let descending = self.rng.random_bool(0.4);
        let usual = self.rng.random_bool(0.7);
        Order { column, descending, nulls_first: descending == usual }
    }

    fn shuffled(&mut self, mut places: Vec<usize>) -> Vec<usize> {
        for i in (1..places.len()).rev() {
            places.swap(i, self.rng.random_range(0..=i));
        }
        places
    }

    /// A source all of whose columns have an order.
    fn orderable_source(&mut self) -> (Source, Vec<Column>) {
        let (source, columns) = self.source(0);
        if columns.iter().all(|c| is_orderable(c.kind)) {
            return (source, columns);
        }
        let places = (0..columns.len()).filter(|i| is_orderable(columns[*i].kind));
        let mut expressions: Vec<Expression> = places.map(Expression::Column).collect();
        if expressions.is_empty() {
            expressions.push(Expression::IsNull(Box::new(Expression::Column(0))));
        }
        let plain = Plain { source, filter: None, expressions };
        let source = Source::Subquery(Box::new(Query::Plain(plain)));
        let columns = source.columns(self.relations);
        (source, columns)
    }

    pub(super) fn window(&mut self) -> Query {
        let (source, columns) = self.orderable_source();
        let filter = self.filter(&columns);
        let count = self.rng.random_range(1..=3);
        let expressions = (0..count)
            .map(|_| {
                let kind = self.usable_kind(&columns);
                self.expression(kind, &columns, 0)
            })
            .collect();
        let mut calls: Vec<WindowCall> =
            (0..self.rng.random_range(1..=2)).map(|_| self.window_call(&columns)).collect();
        // Which of two equal rows comes first is open, but in one window it is the same one for all functions.
        if let [first, second] = &mut calls[..]
            && counts_places(first)
            && counts_places(second)
        {
            (second.partition, second.order) = (first.partition.clone(), first.order.clone());
        }
        Query::Window(Window { source, filter, expressions, calls })
    }

    /// The first rows of each partition, by a window function and a condition on it.
    pub(super) fn ranked(&mut self) -> Query {
        let (source, columns) = self.orderable_source();
        let filter = self.filter(&columns);
        let expressions: Vec<Expression> = (0..columns.len().min(4)).map(Expression::Column).collect();
        let shown = expressions.len();
        let function = match self.rng.random_range(0..3) {
            0 => WindowFunction::Rank,
            1 => WindowFunction::DenseRank,
            _ => WindowFunction::RowNumber,
        };
        let order = self.order(&columns, matches!(function, WindowFunction::RowNumber));
        let partition = self.partition(&columns);
        let calls = vec![WindowCall { function, partition, order, frame: None }];
        let window = Query::Window(Window { source, filter, expressions, calls });
        let literal = Expression::Literal(Value::Integer(self.rng.random_range(1..=3)), Type::BigInt);
        let comparison = one_of(self.rng, &[Comparison::LessOrEqual, Comparison::LessOrEqual, Comparison::Equal]);
        let filter = Some(Expression::Compare(comparison, Box::new(Expression::Column(shown)), Box::new(literal)));
        let last = usize::from(self.rng.random_bool(0.7));
        let expressions = (0..shown + last).map(Expression::Column).collect();
        Query::Plain(Plain { source: Source::Subquery(Box::new(window)), filter, expressions })
    }

    fn partition(&mut self, columns: &[Column]) -> Vec<usize> {
        let places: Vec<usize> = (0..columns.len()).filter(|i| is_orderable(columns[*i].kind)).collect();
        let mut places = self.shuffled(places);
        places.truncate(one_of(self.rng, &[0, 1, 1, 1, 2]));
        places
    }

    fn window_call(&mut self, columns: &[Column]) -> WindowCall {
        let kind = self.usable_kind(columns);
        // PostgreSQL wants to know the type of a literal here.
        let value = match self.expression(kind, columns, 1) {
            Expression::Literal(..) => Expression::IsNull(Box::new(Expression::Column(0))),
            expression => expression,
        };
        let n = self.rng.random_range(1..=3usize);
        let (function, takes_frame) = match self.rng.random_range(0..17) {
            0 => (WindowFunction::RowNumber, false),
            1 => (WindowFunction::Rank, false),
            2 => (WindowFunction::DenseRank, false),
            3 => (WindowFunction::PercentRank, false),
            4 => (WindowFunction::CumeDist, false),
            5 => (WindowFunction::Ntile(n as i64 + 1), false),
            6 => (WindowFunction::Lag(value, n - 1), false),
            7 => (WindowFunction::Lead(value, n), false),
            8 => (WindowFunction::First(value), true),
            9 => (WindowFunction::Last(value), true),
            10 => (WindowFunction::Nth(value, n), true),
            _ => (WindowFunction::Aggregate(self.window_aggregate(columns)), true),
        };
        let frame = if takes_frame && self.rng.random_bool(0.7) { Some(self.frame()) } else { None };
        let is_open = is_open(&function);
        let counts_rows = frame.as_ref().is_some_and(|f| f.unit == FrameUnit::Rows);
        let mut order = self.order(columns, !is_open || counts_rows);
        let partition = self.partition(columns);
        let mut call = WindowCall { function, partition, order: Vec::new(), frame };
        if let Some(frame) = &mut call.frame
            && has_offset(frame)
            && frame.unit == FrameUnit::Range
        {
            self.fit_range(columns, frame, &mut order, is_open);
        }
        call.order = order;
        call
    }

    /// RANGE with an offset wants one number to order by; without, peers do.
    fn fit_range(&mut self, columns: &[Column], frame: &mut Frame, order: &mut Vec<Order>, is_open: bool) {
        let numbers = [Type::SmallInt, Type::Integer, Type::BigInt, Type::Numeric];
        let usable = |c: &Column| numbers.contains(&c.kind) && !c.extreme;
        let place = (0..columns.len()).find(|i| usable(&columns[*i]));
        match place {
            Some(column) if is_open => *order = vec![self.order_by(column)],
            _ => {
                frame.start = Bound::Unbounded;
                frame.end = Bound::Current;
            }
        }
    }

    fn frame(&mut self) -> Frame {
        let unit = one_of(self.rng, &[FrameUnit::Rows, FrameUnit::Rows, FrameUnit::Range, FrameUnit::Groups]);
        let n = |rng: &mut rand_chacha::ChaCha8Rng| rng.random_range(0..=2i64);
        let (a, b) = (n(self.rng), n(self.rng));
        let (start, end) = match self.rng.random_range(0..7) {
            0 => (Bound::Unbounded, Bound::Current),
            1 => (Bound::Current, Bound::Unbounded),
            2 => (Bound::Unbounded, Bound::Following(a)),
            3 => (Bound::Preceding(a), Bound::Unbounded),
            4 => (Bound::Preceding(a.max(b)), Bound::Preceding(a.min(b))),
            5 => (Bound::Following(a.min(b)), Bound::Following(a.max(b))),
            _ => (Bound::Preceding(a), Bound::Following(b)),
        };
        let all = [Exclude::NoOthers, Exclude::NoOthers, Exclude::CurrentRow, Exclude::Group, Exclude::Ties];
        Frame { unit, start, end, exclude: one_of(self.rng, &all) }
    }

    /// An aggregate whose value does not depend on the order of rows.
    fn window_aggregate(&mut self, columns: &[Column]) -> Call {
        let function = one_of(
            self.rng,
            &[Function::Count, Function::Sum, Function::Sum, Function::Average, Function::Least, Function::Most],
        );
        let numbers = [Type::SmallInt, Type::Integer, Type::BigInt, Type::Numeric];
        let tame: Vec<Column> = columns
            .iter()
            .map(|c| if c.extreme { Column { kind: Type::Quotient, ..c.clone() } } else { c.clone() })
            .collect();
        let kind = match function {
            Function::Sum | Function::Average => self.kind_among(&tame, &numbers),
            _ => match self.usable_kind(&tame) {
                Type::Boolean => Type::Integer,
                kind => kind,
            },
        };
        let argument = Some(self.expression(kind, &tame, 0));
        let filter = if self.rng.random_bool(0.15) { Some(self.condition(columns, 0)) } else { None };
        Call { function, argument, second: None, order: Vec::new(), distinct: false, filter }
    }
}

/// Whether equal rows may get different values.
fn counts_places(call: &WindowCall) -> bool {
    let counts_rows = call.frame.as_ref().is_some_and(|f| f.unit == FrameUnit::Rows);
    counts_rows || !is_open(&call.function)
}

/// Whether rows that the order leaves equal get the same value.
fn is_open(function: &WindowFunction) -> bool {
    matches!(
        function,
        WindowFunction::Rank
            | WindowFunction::DenseRank
            | WindowFunction::PercentRank
            | WindowFunction::CumeDist
            | WindowFunction::Aggregate(_)
    )
}

fn has_offset(frame: &Frame) -> bool {
    [frame.start, frame.end].iter().any(|b| matches!(b, Bound::Preceding(_) | Bound::Following(_)))
}
