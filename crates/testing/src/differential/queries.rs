//! Random queries.
//!
//! `sources` draws what they read (joins, subqueries), `aggregates` what groups show, `orders` top-n and windows; here are
//! the frame and scalar expressions.

mod aggregates;
mod orders;
mod recursive;
mod sources;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::tables::{draw_value, one_of};
use crate::reference::{
    Column, Comparison, Decimal, Expression, JoinKind, Operation, Plain, Query, Relations, SetOperation, SetOperator,
    Source, Type, Value,
};

/// Draws queries over relations.
pub struct Queries<'a> {
    /// The source of randomness.
    pub rng: &'a mut ChaCha8Rng,
    /// What there is to select from.
    pub names: Vec<String>,
    /// Their columns.
    pub relations: &'a dyn Relations,
    /// How many rows they are expected to have, for those of which that is known.
    pub sizes: &'a [(String, usize)],
    /// How many rows others have at most.
    pub rows_max: usize,
    /// Whether sums of floats may depend on the order of rows where they are not exact, as PostgreSQL's do.
    pub exact_sums: bool,
}

impl Queries<'_> {
    /// Draws a query.
    pub fn draw(&mut self) -> Query {
        match self.rng.random_range(0..100) {
            0..12 => Query::Plain(self.plain(0)),
            12..16 => self.recursive(),
            16..22 => Query::Distinct(self.plain(0)),
            22..27 => self.union(0),
            27..37 => self.set_operation(0),
            37..45 => self.top(),
            45..49 => self.distinct_on(),
            49..60 => self.window(),
            60..65 => self.ranked(),
            _ => Query::Group(self.group(0)),
        }
    }

    fn set_operation(&mut self, depth: usize) -> Query {
        let left = self.plain(depth);
        let kinds: Vec<Type> = Query::Plain(left.clone()).columns(self.relations).iter().map(|c| c.kind).collect();
        let (source, columns) = self.source(depth);
        let filter = self.filter(&columns);
        let expressions = kinds.iter().map(|kind| self.expression(*kind, &columns, 0)).collect();
        let right = Query::Plain(Plain { source, filter, expressions });
        let operator = one_of(self.rng, &[SetOperator::Union, SetOperator::Intersect, SetOperator::Except]);
        Query::Set(Box::new(SetOperation { operator, all: self.rng.random(), left: Query::Plain(left), right }))
    }

    fn union(&mut self, depth: usize) -> Query {
        // Parts of one shape: the first one's columns say which types the others put out.
        let first = self.plain(depth);
        let kinds: Vec<Type> = Query::Plain(first.clone()).columns(self.relations).iter().map(|c| c.kind).collect();
        let mut parts = vec![Query::Plain(first)];
        for _ in 0..self.rng.random_range(1..=2) {
            let (source, columns) = self.source(depth);
            let filter = self.filter(&columns);
            let expressions: Vec<Expression> = kinds.iter().map(|kind| self.expression(*kind, &columns, 1)).collect();
            parts.push(Query::Plain(Plain { source, filter, expressions }));
        }
        Query::Union(parts)
    }

    fn plain(&mut self, depth: usize) -> Plain {
        let (source, columns) = self.source(depth);
        let filter = self.filter(&columns);
        let risky = depth == 0 && self.is_risky(&source, filter.is_some());
        let expressions = (0..self.rng.random_range(1..=4))
            .map(|_| {
                let kind = self.usable_kind(&columns);
                match self.rng.random_range(0..100) {
                    _ if risky && kind.is_integer() => self.risky(kind, &columns),
                    0..4 if depth == 0 => self.scalar_subquery(&columns, risky),
                    _ => self.expression(kind, &columns, 2),
                }
            })
            .collect();
        Plain { source, filter, expressions }
    }

    /// Whether expressions may fail here. Not where filters might be moved across them, nor in a subquery whose columns
    /// need not all be used: then nobody says whether they do.
    fn is_risky(&mut self, source: &Source, filtered: bool) -> bool {
        let is_relation = match source {
            Source::Relation(_) => true,
            Source::Aliased(source, _) => matches!(source.as_ref(), Source::Relation(_)),
            _ => false,
        };
        !self.exact_sums && !filtered && is_relation && self.rng.random_bool(0.1)
    }

    fn filter(&mut self, columns: &[Column]) -> Option<Expression> {
        match self.rng.random_range(0..100) {
            0..30 => Some(self.condition(columns, 2)),
            30..40 => Some(self.subquery_condition(columns)),
            40..43 => {
                let (a, b) = (self.subquery_condition(columns), self.condition(columns, 1));
                let make = if self.rng.random() { Expression::And } else { Expression::Or };
                Some(make(Box::new(b), Box::new(a)))
            }
            43..46 => {
                let subquery = self.scalar_subquery(columns, false);
                let kind = subquery.kind(columns);
                let value = self.expression(kind, columns, 0);
                Some(Expression::Compare(self.comparison(), Box::new(value), Box::new(subquery)))
            }
            _ => None,
        }
    }

    fn comparison(&mut self) -> Comparison {
        let all = [
            Comparison::Equal,
            Comparison::NotEqual,
            Comparison::Less,
            Comparison::LessOrEqual,
            Comparison::Greater,
            Comparison::GreaterOrEqual,
        ];
        one_of(self.rng, &all)
    }

    /// A condition that can't fail.
    pub fn condition(&mut self, columns: &[Column], depth: usize) -> Expression {
        let boxed = Box::new;
        match self.rng.random_range(0..if depth == 0 { 5 } else { 8 }) {
            0 => {
                let kind = self.usable_kind(columns);
                Expression::IsNull(boxed(self.expression(kind, columns, 0)))
            }
            1 => {
                let kind = self.usable_kind(columns);
                let list = (0..self.rng.random_range(1..=3)).map(|_| self.literal(kind)).collect();
                Expression::In(boxed(self.expression(kind, columns, 0)), list)
            }
            2 => {
                let kind = self.usable_kind(columns);
                let other = self.expression(kind, columns, 0);
                Expression::Same(boxed(self.expression(kind, columns, 0)), boxed(other))
            }
            5 => Expression::And(boxed(self.condition(columns, depth - 1)), boxed(self.condition(columns, depth - 1))),
            6 => Expression::Or(boxed(self.condition(columns, depth - 1)), boxed(self.condition(columns, depth - 1))),
            7 => Expression::Not(boxed(self.condition(columns, depth - 1))),
            _ => {
                let kind = self.usable_kind(columns);
                let comparison = self.comparison();
                let left = self.expression(kind, columns, 1);
                let right =
                    if self.rng.random_bool(0.6) { self.literal(kind) } else { self.expression(kind, columns, 0) };
                Expression::Compare(comparison, boxed(left), boxed(right))
            }
        }
    }

    /// An expression of a type that can't fail.
    pub fn expression(&mut self, kind: Type, columns: &[Column], depth: usize) -> Expression {
        let boxed = Box::new;
        if depth == 0 || self.rng.random_bool(0.5) {
            return match self.column_of(kind, columns) {
                Some(column) if self.rng.random_bool(0.9) => column,
                _ => self.literal(kind),
            };
        }
        match (self.rng.random_range(0..6), kind) {
            (0, _) => {
                let condition = self.condition(columns, 0);
                let (a, b) = (self.expression(kind, columns, depth - 1), self.expression(kind, columns, depth - 1));
                Expression::Case(boxed(condition), boxed(a), boxed(b))
            }
            (1, _) => {
                let (a, b) = (self.expression(kind, columns, depth - 1), self.expression(kind, columns, depth - 1));
                Expression::Coalesce(boxed(a), boxed(b))
            }
            (2, _) => Expression::NullIf(boxed(self.expression(kind, columns, 0)), boxed(self.literal(kind))),
            (_, Type::Boolean) => self.condition(columns, depth - 1),
            (3, Type::Text) => Expression::Upper(boxed(self.expression(kind, columns, 0))),
            (_, Type::Text) => {
                Expression::Concat(boxed(self.expression(kind, columns, 0)), boxed(self.expression(kind, columns, 0)))
            }
            (3, Type::Integer) => {
                let text = self.expression(Type::Text, columns, 0);
                Expression::Length(boxed(text))
            }
            (_, Type::SmallInt | Type::Integer | Type::BigInt | Type::Numeric) => self.arithmetic(kind, columns),
            _ => self.expression(kind, columns, 0),
        }
    }

    /// Arithmetic that stays in range: a tame column and a small literal.
    fn arithmetic(&mut self, kind: Type, columns: &[Column]) -> Expression {
        let tame = |c: &Column| c.kind == kind && !c.extreme;
        let places: Vec<usize> = (0..columns.len()).filter(|i| tame(&columns[*i])).collect();
        if places.is_empty() {
            return self.literal(kind);
        }
        let column = Box::new(Expression::Column(one_of(self.rng, &places)));
        if kind == Type::Numeric {
            let operation = one_of(self.rng, &[Operation::Add, Operation::Subtract, Operation::Multiply]);
            let literal = Decimal::parse(one_of(self.rng, &["2", "1.5", "-1"])).map_or(Value::Null, Value::Numeric);
            return Expression::Arithmetic(operation, column, Box::new(Expression::Literal(literal, kind)));
        }
        // Sums of views may be anywhere, so only what makes them smaller is sure to be in range; a small step is, too.
        let all = [Operation::Divide, Operation::Modulo, Operation::Add, Operation::Subtract];
        let operation = one_of(self.rng, &all);
        let literal = Expression::Literal(Value::Integer(one_of(self.rng, &[2, 3, -2, 5])), kind);
        Expression::Arithmetic(operation, column, Box::new(literal))
    }

    /// Arithmetic that fails for some rows.
    fn risky(&mut self, kind: Type, columns: &[Column]) -> Expression {
        let (a, b) = (self.expression(kind, columns, 0), self.expression(kind, columns, 0));
        let all = [Operation::Divide, Operation::Modulo, Operation::Add, Operation::Multiply];
        let operation = one_of(self.rng, &all);
        Expression::Arithmetic(operation, Box::new(a), Box::new(b))
    }

    fn literal(&mut self, kind: Type) -> Expression {
        Expression::Literal(draw_value(self.rng, kind, false, 0.05), kind)
    }

    fn column_of(&mut self, kind: Type, columns: &[Column]) -> Option<Expression> {
        let places: Vec<usize> = (0..columns.len()).filter(|i| columns[*i].kind == kind).collect();
        (!places.is_empty()).then(|| Expression::Column(one_of(self.rng, &places)))
    }

    fn usable_kind(&mut self, columns: &[Column]) -> Type {
        let all = [
            Type::Boolean,
            Type::SmallInt,
            Type::Integer,
            Type::BigInt,
            Type::Numeric,
            Type::Double,
            Type::Text,
            Type::Date,
            Type::Timestamp,
            Type::Interval,
        ];
        self.kind_among(columns, &all)
    }

    /// The type of one of the columns that has one of these types.
    fn kind_among(&mut self, columns: &[Column], kinds: &[Type]) -> Type {
        let found: Vec<Type> = columns.iter().map(|c| c.kind).filter(|k| kinds.contains(k)).collect();
        if found.is_empty() { Type::Integer } else { one_of(self.rng, &found) }
    }
}

/// How many rows a query is expected to have, as far as joins above it need to know.
fn expected_rows(query: &Query, of_source: &dyn Fn(&Source) -> usize) -> usize {
    match query {
        Query::Plain(plain) | Query::Distinct(plain) => of_source(&plain.source),
        Query::DistinctOn(distinct) => of_source(&distinct.plain.source),
        Query::Window(window) => of_source(&window.source),
        Query::Group(group) => of_source(&group.source).min(16),
        Query::Recursive(recursive) => of_source(&recursive.base.source) * 12,
        Query::Top(top) => top.limit.unwrap_or(usize::MAX).min(expected_rows(&top.query, of_source)),
        Query::Set(set) => expected_rows(&set.left, of_source) + expected_rows(&set.right, of_source),
        Query::Union(parts) => parts.iter().map(|part| expected_rows(part, of_source)).sum(),
    }
}

/// How many rows a source is expected to have.
fn expected_source_rows(source: &Source, of_relation: &dyn Fn(&str) -> usize) -> usize {
    let of = |source: &Source| expected_source_rows(source, of_relation);
    match source {
        Source::Relation(name) => of_relation(name),
        Source::Aliased(source, _) => of(source),
        Source::Subquery(query) => expected_rows(query, &of),
        Source::Join(join) => {
            let (left, right) = (of(&join.left), of(&join.right));
            match (&join.on, join.kind) {
                (None, _) => left * right,
                (Some(_), JoinKind::Inner) => (left * right / 4).max(1),
                _ => (left * right / 4).max(left + right),
            }
        }
    }
}

/// How many rows a view is expected to have.
#[must_use]
pub fn expected_view_rows(query: &Query, sizes: &[(String, usize)], rows_max: usize) -> usize {
    let of = |name: &str| sizes.iter().find(|(n, _)| n == name).map_or(rows_max, |(_, rows)| *rows);
    expected_rows(query, &|source| expected_source_rows(source, &of))
}
