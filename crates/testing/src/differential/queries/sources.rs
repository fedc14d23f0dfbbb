//! What random queries read: relations, subqueries, joins of up to five, and subqueries in conditions.

use rand::Rng;

use super::Queries;
use crate::differential::tables::one_of;
use crate::reference::{
    Call, Column, Comparison, Expression, Function, Group, Join, JoinKind, Nested, On, Plain, Query, Source, Type,
    Value,
};

/// Rows that a join may be expected to have.
const JOINED_ROWS_MAX: usize = 600;

/// Pairs of rows that a join may have to look at.
const PAIRS_MAX: usize = 6_000;

impl Queries<'_> {
    /// A source and its columns.
    pub(super) fn source(&mut self, depth: usize) -> (Source, Vec<Column>) {
        let source = match self.rng.random_range(0..100) {
            0..10 if depth == 0 => Source::Subquery(Box::new(self.inner_query())),
            10..42 if depth == 0 => self.joined(),
            42..62 => Source::Aliased(Box::new(Source::Relation(self.relation())), "o".into()),
            _ => Source::Relation(self.relation()),
        };
        let columns = source.columns(self.relations);
        (source, columns)
    }

    pub(super) fn relation(&mut self) -> String {
        self.names[self.rng.random_range(0..self.names.len())].clone()
    }

    fn inner_query(&mut self) -> Query {
        match self.rng.random_range(0..5) {
            0 => Query::Group(self.group(1)),
            1 => Query::Distinct(self.plain(1)),
            2 => Query::Plain(self.plain(1)),
            3 => self.set_operation(1),
            _ => self.union(1),
        }
    }

    /// Two to five relations side by side, none of them expected to grow out of hand.
    fn joined(&mut self) -> Source {
        let wanted = one_of(self.rng, &[2, 2, 2, 2, 3, 3, 4, 5]);
        let mut source = self.leaf(0);
        let mut rows = self.expected_rows(&source);
        for place in 1..wanted {
            let right = self.leaf(place);
            let more = self.expected_rows(&right);
            if rows * more > PAIRS_MAX {
                break;
            }
            let can_use_names = wanted == 2;
            let (kind, on) = self.on(&source, &right, rows * more / 4 > JOINED_ROWS_MAX, can_use_names);
            source = Source::Join(Box::new(Join { kind, left: source, right, on }));
            rows = self.expected_rows(&source);
            if rows > JOINED_ROWS_MAX {
                break;
            }
        }
        match source {
            // Nothing fitted beside it.
            Source::Aliased(..) => Source::Relation(self.relation()),
            joined => joined,
        }
    }

    fn leaf(&mut self, place: usize) -> Source {
        let inner = if self.rng.random_bool(0.12) {
            Source::Subquery(Box::new(self.inner_query()))
        } else {
            Source::Relation(self.relation())
        };
        Source::Aliased(Box::new(inner), format!("a{place}"))
    }

    pub(super) fn expected_rows(&self, source: &Source) -> usize {
        let of = |name: &str| self.sizes.iter().find(|(n, _)| n == name).map_or(self.rows_max, |(_, rows)| *rows);
        super::expected_source_rows(source, &of)
    }

    fn on(&mut self, left: &Source, right: &Source, is_large: bool, can_use_names: bool) -> (JoinKind, Option<On>) {
        let (l, r) = (left.columns(self.relations), right.columns(self.relations));
        let kinds = [JoinKind::Inner, JoinKind::Inner, JoinKind::Left, JoinKind::Right, JoinKind::Full];
        let kind = one_of(self.rng, &kinds);
        let shared: Vec<(String, usize, usize)> = pairs(&l, &r)
            .into_iter()
            .filter_map(|(a, b)| {
                let name = base_name(&l[a].name);
                (name == base_name(&r[b].name)).then(|| (name.to_owned(), a, b))
            })
            .collect();
        if can_use_names && !shared.is_empty() && self.rng.random_bool(0.15) {
            let first = self.rng.random_range(0..shared.len());
            let first = shared[first].clone();
            let second = shared.iter().find(|s| s.0 != first.0).filter(|_| self.rng.random_bool(0.3)).cloned();
            let used = std::iter::once(first).chain(second).collect();
            return (kind, Some(On::Using(used)));
        }
        if !is_large && self.rng.random_bool(0.06) {
            return (JoinKind::Inner, None);
        }
        let columns = [l.clone(), r.clone()].concat();
        let mut condition = self.match_of(&l, &r, is_large || kind == JoinKind::Full);
        for _ in 0..one_of(self.rng, &[0, 0, 0, 1, 1, 2]) {
            let more = match self.rng.random_range(0..3) {
                0 => self.match_of(&l, &r, false),
                _ => self.condition(&columns, 1),
            };
            condition = Expression::And(Box::new(condition), Box::new(more));
        }
        (kind, Some(On::Condition(condition)))
    }

    /// A condition that says which rows of two sides belong together; with `equal` it is an equation if there can be one.
    fn match_of(&mut self, left: &[Column], right: &[Column], equal: bool) -> Expression {
        let columns = [left, right].concat();
        let candidates = pairs(left, right);
        let preferred: Vec<(usize, usize)> =
            candidates.iter().copied().filter(|(a, b)| is_key(&left[*a]) && is_key(&right[*b])).collect();
        let pool = if !preferred.is_empty() && self.rng.random_bool(0.6) { preferred } else { candidates };
        if pool.is_empty() {
            // Constants are equal: FULL JOIN wants an equation.
            let one = || Box::new(Expression::Literal(Value::Integer(1), Type::Integer));
            return if equal {
                Expression::Compare(Comparison::Equal, one(), one())
            } else {
                self.condition(&columns, 1)
            };
        }
        let (a, b) = one_of(self.rng, &pool);
        let sides = (Box::new(Expression::Column(a)), Box::new(Expression::Column(left.len() + b)));
        match self.rng.random_range(0..10) {
            0 if !equal => Expression::Same(sides.0, sides.1),
            1..3 if !equal => Expression::Compare(self.comparison(), sides.0, sides.1),
            _ => Expression::Compare(Comparison::Equal, sides.0, sides.1),
        }
    }

    /// A condition with a subquery, correlated or not.
    pub(super) fn subquery_condition(&mut self, columns: &[Column]) -> Expression {
        let (source, inner) = self.subquery_source();
        let filter = self.correlation(columns, &inner);
        match self.rng.random_range(0..10) {
            0..3 => {
                let plain =
                    Plain { source, filter, expressions: vec![Expression::Literal(Value::Integer(1), Type::Integer)] };
                Expression::Exists(self.rng.random(), Box::new(self.nested(Query::Plain(plain))))
            }
            choice => {
                let Some((own, other)) = self.pair_of(columns, &inner) else { return self.condition(columns, 1) };
                let plain = Plain { source, filter, expressions: vec![Expression::Column(other)] };
                let query = if self.rng.random_bool(0.2) { Query::Distinct(plain) } else { Query::Plain(plain) };
                let (nested, value) = (Box::new(self.nested(query)), Box::new(Expression::Column(own)));
                if choice < 7 {
                    return Expression::InQuery(value, self.rng.random_bool(0.5), nested);
                }
                Expression::Quantified(self.comparison(), self.rng.random(), value, nested)
            }
        }
    }

    /// A subquery with one value: an aggregate, or where rows may fail, any row.
    pub(super) fn scalar_subquery(&mut self, columns: &[Column], risky: bool) -> Expression {
        let (source, inner) = self.subquery_source();
        let filter = self.correlation(columns, &inner);
        if risky {
            let kind = self.usable_kind(&inner);
            let value = self.expression(kind, &inner, 0);
            let plain = Plain { source, filter, expressions: vec![value] };
            return Expression::Scalar(Box::new(self.nested(Query::Plain(plain))), kind);
        }
        let function = one_of(self.rng, &[Function::Count, Function::Sum, Function::Least, Function::Most]);
        let kind = match function {
            Function::Sum => self.kind_among(&inner, &[Type::SmallInt, Type::Integer, Type::Numeric]),
            _ => match self.usable_kind(&inner) {
                Type::Boolean => Type::Integer,
                kind => kind,
            },
        };
        let argument = Some(self.expression(kind, &inner, 0));
        let call = Call { function, argument, second: None, order: Vec::new(), distinct: false, filter: None };
        let kind = call.kind(&inner);
        let group = Group {
            source,
            filter,
            keys: Vec::new(),
            sets: None,
            shown_keys: Vec::new(),
            calls: vec![call],
            having: None,
        };
        Expression::Scalar(Box::new(self.nested(Query::Group(group))), kind)
    }

    fn nested(&self, query: Query) -> Nested {
        let text = query.sql(self.relations);
        Nested { query, text }
    }

    fn subquery_source(&mut self) -> (Source, Vec<Column>) {
        let source = Source::Aliased(Box::new(Source::Relation(self.relation())), "i".into());
        let columns = source.columns(self.relations);
        (source, columns)
    }

    /// What binds a subquery to the row around it, if that has a name to be called by.
    fn correlation(&mut self, columns: &[Column], inner: &[Column]) -> Option<Expression> {
        let has_names = columns.iter().all(|c| c.name.contains('.'));
        let own = if self.rng.random_bool(0.3) { Some(self.condition(inner, 1)) } else { None };
        let pair = if has_names && self.rng.random_bool(0.7) { self.pair_of(columns, inner) } else { None };
        let Some((outer, place)) = pair else { return own };
        let outer = Expression::Outer(outer, columns[outer].kind, columns[outer].name.clone());
        let sides = (Box::new(Expression::Column(place)), Box::new(outer));
        let bound = match self.rng.random_range(0..10) {
            0 => Expression::Compare(self.comparison(), sides.0, sides.1),
            1 => Expression::Same(sides.0, sides.1),
            _ => Expression::Compare(Comparison::Equal, sides.0, sides.1),
        };
        Some(match own {
            Some(own) => Expression::And(Box::new(bound), Box::new(own)),
            None => bound,
        })
    }

    fn pair_of(&mut self, columns: &[Column], inner: &[Column]) -> Option<(usize, usize)> {
        let all = pairs(columns, inner);
        let preferred: Vec<(usize, usize)> =
            all.iter().copied().filter(|(a, b)| is_key(&columns[*a]) && is_key(&inner[*b])).collect();
        let pool = if !preferred.is_empty() && self.rng.random_bool(0.5) { preferred } else { all };
        (!pool.is_empty()).then(|| one_of(self.rng, &pool))
    }
}

/// Places of columns of two sides that can be compared.
fn pairs(left: &[Column], right: &[Column]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (a, l) in left.iter().enumerate() {
        for (b, r) in right.iter().enumerate() {
            if l.kind == r.kind && !matches!(l.kind, Type::Quotient | Type::Approximate | Type::Array) {
                found.push((a, b));
            }
        }
    }
    found
}

fn base_name(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// Columns that every table has, with few values.
fn is_key(column: &Column) -> bool {
    matches!(base_name(&column.name), "n" | "k")
}
