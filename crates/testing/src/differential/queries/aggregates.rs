//! Random groups: keys, grouping sets, all aggregates with DISTINCT, FILTER and ORDER BY, HAVING.

use rand::Rng;

use super::Queries;
use crate::differential::tables::{draw_value, one_of};
use crate::reference::{Call, Column, Expression, Function, Group, GroupingSets, Having, Type};

const NUMBERS: [Type; 4] = [Type::SmallInt, Type::Integer, Type::BigInt, Type::Numeric];

/// Aggregates, the frequent ones more than once.
const FUNCTIONS: [Function; 35] = [
    Function::Count,
    Function::Count,
    Function::Count,
    Function::Count,
    Function::Sum,
    Function::Sum,
    Function::Sum,
    Function::Sum,
    Function::Average,
    Function::Average,
    Function::Least,
    Function::Least,
    Function::Most,
    Function::Most,
    Function::AllTrue,
    Function::AnyTrue,
    Function::Deviation,
    Function::PopulationDeviation,
    Function::Variance,
    Function::PopulationVariance,
    Function::BitAnd,
    Function::BitOr,
    Function::BitXor,
    Function::Joined,
    Function::Array,
    Function::Percentile(50),
    Function::Percentile(90),
    Function::DiscretePercentile(25),
    Function::Mode,
    Function::PopulationCovariance,
    Function::Covariance,
    Function::Correlation,
    Function::RegressionCount,
    Function::Slope,
    Function::Determination,
];

impl Queries<'_> {
    pub(super) fn group(&mut self, depth: usize) -> Group {
        let (source, columns) = self.source(depth);
        let filter = self.filter(&columns);
        let risky = depth == 0 && self.is_risky(&source, filter.is_some());
        let mut keys: Vec<Expression> =
            (0..one_of(self.rng, &[0, 1, 1, 1, 2, 2, 3])).map(|_| self.key(&columns)).collect();
        let sets = if self.rng.random_bool(0.12) { self.grouping_sets(&mut keys, &columns) } else { None };
        let shown_keys = (0..keys.len()).filter(|_| self.rng.random_bool(0.9)).collect();
        let mut calls: Vec<Call> = (0..self.rng.random_range(1..=4)).map(|_| self.call(&columns)).collect();
        if risky {
            let argument = Some(self.risky(Type::Integer, &columns));
            let filter = if self.rng.random_bool(0.3) { Some(self.condition(&columns, 1)) } else { None };
            calls.push(plain_call(Function::Sum, argument, filter));
        }
        let having = if self.rng.random_bool(0.2) { self.having(&calls, &columns) } else { None };
        Group { source, filter, keys, sets, shown_keys, calls, having }
    }

    /// Several groupings of one to three different columns, which become the keys.
    fn grouping_sets(&mut self, keys: &mut Vec<Expression>, columns: &[Column]) -> Option<GroupingSets> {
        let mut places: Vec<usize> = Vec::new();
        for _ in 0..self.rng.random_range(1..=3) {
            let kind = self.usable_kind(columns);
            if let Some(Expression::Column(place)) = self.column_of(kind, columns)
                && !places.contains(&place)
            {
                places.push(place);
            }
        }
        if places.is_empty() {
            return None;
        }
        *keys = places.iter().copied().map(Expression::Column).collect();
        Some(match self.rng.random_range(0..3) {
            0 => GroupingSets::Rollup,
            1 => GroupingSets::Cube,
            _ => {
                let mut sets: Vec<Vec<usize>> = (0..self.rng.random_range(1..=3))
                    .map(|_| (0..places.len()).filter(|_| self.rng.random_bool(0.5)).collect())
                    .collect();
                // Every key is in some set, or it could not be shown.
                sets.push((0..places.len()).collect());
                GroupingSets::Sets(sets)
            }
        })
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
        let function = one_of(self.rng, &FUNCTIONS);
        let filter = if self.rng.random_bool(0.25) { Some(self.condition(columns, 1)) } else { None };
        if function == Function::Count && self.rng.random_bool(0.5) {
            return plain_call(function, None, filter);
        }
        let kind = self.argument_kind(function, columns);
        let argument = self.argument(function, kind, columns);
        let is_literal = matches!(argument, Expression::Literal(..));
        if is_literal && !matches!(function, Function::Count | Function::Sum | Function::Average) {
            // PostgreSQL does not know its type, or does not see that the call is ordered by it.
            return plain_call(Function::Count, None, filter);
        }
        let mut call = plain_call(function, Some(argument.clone()), filter);
        match function {
            Function::Joined | Function::Array => {
                call.distinct = self.rng.random_bool(0.2);
                if !call.distinct && self.rng.random_bool(0.4) {
                    let kind = self.usable_kind(columns);
                    let by = self.expression(kind, columns, 0);
                    if !matches!(by, Expression::Literal(..)) {
                        call.order.push((by, self.rng.random()));
                    }
                }
                call.order.push((argument, self.rng.random()));
            }
            Function::PopulationCovariance
            | Function::Covariance
            | Function::Correlation
            | Function::RegressionCount
            | Function::Slope
            | Function::Determination => call.second = Some(self.argument(function, kind, columns)),
            Function::Percentile(_) | Function::DiscretePercentile(_) | Function::Mode => {}
            _ => call.distinct = self.rng.random_bool(0.2),
        }
        call
    }

    fn argument_kind(&mut self, function: Function, columns: &[Column]) -> Type {
        match function {
            Function::AllTrue | Function::AnyTrue => Type::Boolean,
            Function::Sum | Function::Average => {
                self.kind_among(columns, &[NUMBERS.as_slice(), &[Type::Double]].concat())
            }
            Function::Count => self.usable_kind(columns),
            Function::Least | Function::Most | Function::DiscretePercentile(_) | Function::Mode => {
                match self.usable_kind(columns) {
                    Type::Boolean => Type::Integer,
                    kind => kind,
                }
            }
            Function::Joined => Type::Text,
            Function::Array => self.kind_among(columns, &[Type::Integer, Type::Text]),
            Function::BitAnd | Function::BitOr | Function::BitXor => self.kind_among(columns, &NUMBERS[..3]),
            Function::PopulationCovariance
            | Function::Covariance
            | Function::Correlation
            | Function::RegressionCount
            | Function::Slope
            | Function::Determination
            | Function::Percentile(_) => self.kind_among(columns, &NUMBERS),
            // PostgreSQL rounds on the way where the interpreter does not.
            _ if self.exact_sums => self.kind_among(columns, &NUMBERS),
            _ => self.kind_among(columns, &[NUMBERS.as_slice(), &[Type::Double]].concat()),
        }
    }

    /// An argument; where precision counts, nothing near the limits.
    fn argument(&mut self, function: Function, kind: Type, columns: &[Column]) -> Expression {
        let takes_all = matches!(
            function,
            Function::Count
                | Function::Sum
                | Function::Average
                | Function::Least
                | Function::Most
                | Function::BitAnd
                | Function::BitOr
                | Function::BitXor
                | Function::Joined
                | Function::Array
                | Function::DiscretePercentile(_)
                | Function::Mode
        );
        if !takes_all || (kind == Type::Double && self.exact_sums) {
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
        if matches!(kind, Type::Quotient | Type::Approximate | Type::Boolean | Type::Array) {
            return None;
        }
        let comparison = self.comparison();
        Some(Having { call, comparison, literal: draw_value(self.rng, kind, false, 0.0) })
    }
}

/// A call with neither DISTINCT nor ORDER BY.
fn plain_call(function: Function, argument: Option<Expression>, filter: Option<Expression>) -> Call {
    Call { function, argument, second: None, order: Vec::new(), distinct: false, filter }
}
