//! Random recursive queries: ways along the rows of a relation, with and without a count of steps.
//!
//! Those that count stop after a few steps; the others put out values that are there already, and drop rows that were there before,
//! so that there is an end.

use rand::Rng;

use super::Queries;
use crate::differential::tables::one_of;
use crate::reference::{
    Column, Comparison, Expression, Join, JoinKind, On, Operation, Plain, Query, Recursive, Source, Type, Value,
    WORK_TABLE,
};

/// Steps that a query which counts them takes at most.
const STEPS_MAX: i64 = 3;

/// Rows that a relation is expected to have at most for copies to be kept.
const ROWS_MAX: usize = 12;

impl Queries<'_> {
    /// A recursive query over one or two relations.
    pub(super) fn recursive(&mut self) -> Query {
        let (from, to) = (self.relation(), self.relation());
        let counts = self.rng.random_bool(0.6);
        let few = [&from, &to].iter().all(|name| self.expected_rows(&Source::Relation((*name).clone())) <= ROWS_MAX);
        let all = counts && few && self.rng.random();
        let base = self.base(from, counts);
        let columns: Vec<Column> = Query::Plain(base.clone()).columns(self.relations);
        let term = self.term(to, &columns, counts);
        Query::Recursive(Box::new(Recursive { base, term, all }))
    }

    /// One or two columns, and the number of steps if that is counted.
    fn base(&mut self, relation: String, counts: bool) -> Plain {
        let source = Source::Relation(relation);
        let columns = source.columns(self.relations);
        let places: Vec<usize> = (0..columns.len()).filter(|place| can_be_walked(&columns[*place])).collect();
        let count = self.rng.random_range(1..=2);
        let mut expressions: Vec<Expression> = match places.is_empty() {
            true => vec![Expression::Literal(Value::Integer(1), Type::Integer)],
            false => (0..count).map(|_| Expression::Column(one_of(self.rng, &places))).collect(),
        };
        if counts {
            expressions.push(Expression::Literal(Value::Integer(0), Type::Integer));
        }
        let filter = self.rng.random_bool(0.3).then(|| self.condition(&columns, 1));
        Plain { source, filter, expressions }
    }

    /// The rows of a relation that begin where the last step ended.
    fn term(&mut self, relation: String, columns: &[Column], counts: bool) -> Plain {
        let work = Source::Aliased(Box::new(Source::Relation(WORK_TABLE.into())), "o".into());
        let next = Source::Aliased(Box::new(Source::Relation(relation)), "n".into());
        let steps = columns.len() - 1;
        let walked = if counts { steps } else { columns.len() };
        let rows = next.columns(self.relations);
        let pairs: Vec<(usize, usize)> = (0..walked)
            .flat_map(|left| (0..rows.len()).map(move |right| (left, right)))
            .filter(|(left, right)| columns[*left].kind == rows[*right].kind)
            .collect();
        let on = match pairs.is_empty() {
            true => Expression::Literal(Value::Boolean(true), Type::Boolean),
            false => {
                let (left, right) = one_of(self.rng, &pairs);
                let (left, right) = (Expression::Column(left), Expression::Column(columns.len() + right));
                match self.rng.random_bool(0.15) {
                    true => Expression::Same(Box::new(left), Box::new(right)),
                    false => Expression::Compare(Comparison::Equal, Box::new(left), Box::new(right)),
                }
            }
        };
        let both: Vec<Column> = columns.iter().chain(&rows).cloned().collect();
        let mut expressions: Vec<Expression> =
            (0..walked).map(|place| self.step(columns[place].kind, place, columns.len(), &both)).collect();
        let mut filter = self.rng.random_bool(0.3).then(|| self.condition(&both, 1));
        if counts {
            let so_far = || Box::new(Expression::Column(steps));
            let number = |number: i64| Box::new(Expression::Literal(Value::Integer(number), Type::Integer));
            expressions.push(Expression::Arithmetic(Operation::Add, so_far(), number(1)));
            let last = self.rng.random_range(1..=STEPS_MAX);
            let bound = Expression::Compare(Comparison::Less, so_far(), number(last));
            filter = Some(match filter {
                Some(filter) => Expression::And(Box::new(bound), Box::new(filter)),
                None => bound,
            });
        }
        let kind = if self.rng.random_bool(0.15) { JoinKind::Left } else { JoinKind::Inner };
        let join = Join { kind, left: work, right: next, on: Some(On::Condition(on)) };
        Plain { source: Source::Join(Box::new(join)), filter, expressions }
    }

    /// A column of the step's row, or what was there before.
    fn step(&mut self, kind: Type, place: usize, work_columns: usize, both: &[Column]) -> Expression {
        let places: Vec<usize> = (work_columns..both.len()).filter(|place| both[*place].kind == kind).collect();
        match places.is_empty() || self.rng.random_bool(0.2) {
            true => Expression::Column(place),
            false => Expression::Column(one_of(self.rng, &places)),
        }
    }
}

/// Whether a column can be part of a recursive query: its type is the same in both terms.
fn can_be_walked(column: &Column) -> bool {
    matches!(
        column.kind,
        Type::Boolean | Type::SmallInt | Type::Integer | Type::BigInt | Type::Text | Type::Date | Type::Timestamp
    )
}
