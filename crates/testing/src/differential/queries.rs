//! Random queries: filters, projections, DISTINCT, UNION ALL, GROUP BY with all aggregates.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::tables::{draw_value, one_of};
use crate::reference::{
    Call, Column, Comparison, Decimal, Expression, Function, Group, Having, Operation, Plain, Query, Relations, Source,
    Type, Value,
};

/// Draws queries over relations.
pub struct Queries<'a> {
    /// The source of randomness.
    pub rng: &'a mut ChaCha8Rng,
    /// What there is to select from.
    pub names: Vec<String>,
    /// Their columns.
    pub relations: &'a dyn Relations,
    /// Whether sums of floats may depend on the order of rows where they are not exact, as PostgreSQL's do.
    pub exact_sums: bool,
}

impl Queries<'_> {
    /// Draws a query.
    pub fn draw(&mut self) -> Query {
        match self.rng.random_range(0..10) {
            0 => Query::Plain(self.plain(0)),
            1 => Query::Distinct(self.plain(0)),
            2 => self.union(0),
            _ => Query::Group(self.group(0)),
        }
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
                if risky && kind.is_integer() { self.risky(kind, &columns) } else { self.expression(kind, &columns, 2) }
            })
            .collect();
        Plain { source, filter, expressions }
    }

    fn group(&mut self, depth: usize) -> Group {
        let (source, columns) = self.source(depth);
        let filter = self.filter(&columns);
        let risky = depth == 0 && self.is_risky(&source, filter.is_some());
        let keys: Vec<Expression> = (0..one_of(self.rng, &[0, 1, 1, 1, 2, 2, 3])).map(|_| self.key(&columns)).collect();
        let shown_keys = (0..keys.len()).filter(|_| self.rng.random_bool(0.9)).collect();
        let mut calls: Vec<Call> = (0..self.rng.random_range(1..=4)).map(|_| self.call(&columns)).collect();
        if risky {
            let argument = Some(self.risky(Type::Integer, &columns));
            let filter = if self.rng.random_bool(0.3) { Some(self.condition(&columns, 1)) } else { None };
            calls.push(Call { function: Function::Sum, argument, distinct: false, filter });
        }
        let having = if self.rng.random_bool(0.2) { self.having(&calls, &columns) } else { None };
        Group { source, filter, keys, shown_keys, calls, having }
    }

    fn source(&mut self, depth: usize) -> (Source, Vec<Column>) {
        if depth == 0 && self.rng.random_bool(0.15) {
            let query = match self.rng.random_range(0..4) {
                0 => Query::Group(self.group(1)),
                1 => Query::Distinct(self.plain(1)),
                2 => Query::Plain(self.plain(1)),
                _ => self.union(1),
            };
            let columns = query.columns(self.relations);
            return (Source::Subquery(Box::new(query)), columns);
        }
        let name = self.names[self.rng.random_range(0..self.names.len())].clone();
        let columns = self.relations.columns(&name).to_vec();
        (Source::Relation(name), columns)
    }

    /// Whether expressions may fail here. Not where filters might be moved across them, nor in a subquery whose columns
    /// need not all be used: then nobody says whether they do.
    fn is_risky(&mut self, source: &Source, filtered: bool) -> bool {
        !self.exact_sums && !filtered && matches!(source, Source::Relation(_)) && self.rng.random_bool(0.08)
    }

    fn filter(&mut self, columns: &[Column]) -> Option<Expression> {
        self.rng.random_bool(0.35).then(|| self.condition(columns, 2))
    }

    fn key(&mut self, columns: &[Column]) -> Expression {
        let kind = self.usable_kind(columns);
        match self.column_of(kind, columns) {
            Some(column) if self.rng.random_bool(0.7) => column,
            Some(column) => match self.expression(kind, columns, 1) {
                // A literal is no key: PostgreSQL takes a number for a place in the SELECT list.
                Expression::Literal(..) => column,
                expression => expression,
            },
            None => Expression::IsNull(Box::new(Expression::Column(0))),
        }
    }

    fn call(&mut self, columns: &[Column]) -> Call {
        let functions = [
            Function::Count,
            Function::Count,
            Function::Sum,
            Function::Sum,
            Function::Average,
            Function::Least,
            Function::Most,
            Function::AllTrue,
            Function::AnyTrue,
            Function::Deviation,
            Function::PopulationDeviation,
            Function::Variance,
            Function::PopulationVariance,
        ];
        let function = one_of(self.rng, &functions);
        let filter = if self.rng.random_bool(0.25) { Some(self.condition(columns, 1)) } else { None };
        if function == Function::Count && self.rng.random_bool(0.5) {
            return Call { function, argument: None, distinct: false, filter };
        }
        let numbers = [Type::SmallInt, Type::Integer, Type::BigInt, Type::Numeric];
        let kind = match function {
            Function::AllTrue | Function::AnyTrue => Type::Boolean,
            Function::Sum | Function::Average => {
                self.kind_among(columns, &[numbers.as_slice(), &[Type::Double]].concat())
            }
            Function::Count => self.usable_kind(columns),
            Function::Least | Function::Most => match self.usable_kind(columns) {
                Type::Boolean => Type::Integer,
                kind => kind,
            },
            // PostgreSQL rounds on the way where the interpreter does not.
            _ if self.exact_sums => self.kind_among(columns, &numbers),
            _ => self.kind_among(columns, &[numbers.as_slice(), &[Type::Double]].concat()),
        };
        let argument = self.argument(function, kind, columns);
        let distinct = self.rng.random_bool(0.2);
        Call { function, argument: Some(argument), distinct, filter }
    }

    /// An argument; where precision counts, nothing near the limits.
    fn argument(&mut self, function: Function, kind: Type, columns: &[Column]) -> Expression {
        let delicate = kind == Type::Double && self.exact_sums
            || !matches!(
                function,
                Function::Count | Function::Sum | Function::Average | Function::Least | Function::Most
            );
        if delicate {
            let tame: Vec<Column> = columns
                .iter()
                .map(|c| if c.extreme { Column { kind: Type::Quotient, ..c.clone() } } else { c.clone() })
                .collect();
            return self.expression(kind, &tame, 0);
        }
        self.expression(kind, columns, 1)
    }

    fn having(&mut self, calls: &[Call], columns: &[Column]) -> Option<Having> {
        let call = self.rng.random_range(0..calls.len());
        let kind = calls[call].kind(columns);
        if matches!(kind, Type::Quotient | Type::Approximate | Type::Boolean) {
            return None;
        }
        let comparison = self.comparison();
        Some(Having { call, comparison, literal: draw_value(self.rng, kind, false, 0.0) })
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
