//! What stands in FROM: relations, subqueries and joins, by nested loops.

use super::expression::{Comparison, Expression, Scope, is_true};
use super::query::{Context, Query, Relations};
use super::value::{Column, Value};
use super::{Failure, Row};

/// Where a query's rows come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A table or view.
    Relation(String),
    /// A query in parentheses.
    Subquery(Box<Query>),
    /// A relation or subquery with another name, by which its columns are called.
    Aliased(Box<Source>, String),
    /// Two sources side by side.
    Join(Box<Join>),
}

/// A join. Its columns are those of both sides; with USING the merged ones come first.
#[derive(Clone, Debug)]
pub struct Join {
    /// Which rows without a match are kept.
    pub kind: JoinKind,
    /// The first side; its columns have qualified names.
    pub left: Source,
    /// The second side.
    pub right: Source,
    /// What a match is; none for a cross join.
    pub on: Option<On>,
}

/// Which rows without a match are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    /// None.
    Inner,
    /// Those of the first side.
    Left,
    /// Those of the second side.
    Right,
    /// All.
    Full,
}

/// What a match is.
#[derive(Clone, Debug)]
pub enum On {
    /// A condition on both sides' columns.
    Condition(Expression),
    /// Pairs of columns with one name that must be equal: the name, the place in each side.
    Using(Vec<(String, usize, usize)>),
}

impl Source {
    /// The columns of its rows.
    #[must_use]
    pub fn columns(&self, relations: &dyn Relations) -> Vec<Column> {
        match self {
            Source::Relation(name) => relations.columns(name).to_vec(),
            Source::Subquery(query) => query.columns(relations),
            Source::Aliased(source, alias) => source
                .columns(relations)
                .into_iter()
                .map(|c| Column { name: format!("{alias}.{}", c.name), ..c })
                .collect(),
            Source::Join(join) => {
                let (left, right) = (join.left.columns(relations), join.right.columns(relations));
                let mut columns = match &join.on {
                    Some(On::Using(pairs)) => {
                        pairs.iter().map(|(name, l, _)| Column { name: name.clone(), ..left[*l].clone() }).collect()
                    }
                    _ => Vec::new(),
                };
                columns.extend(left);
                columns.extend(right);
                columns
            }
        }
    }

    /// Its rows.
    ///
    /// # Errors
    /// That of the first expression that fails.
    pub fn rows(&self, context: &Context<'_>) -> Result<Vec<Row>, Failure> {
        match self {
            Source::Relation(name) => context.relations.rows(name).map(<[Row]>::to_vec),
            Source::Subquery(query) => query.rows(context),
            Source::Aliased(source, _) => source.rows(context),
            Source::Join(join) => join.rows(context),
        }
    }

    /// Its text.
    #[must_use]
    pub fn sql(&self, relations: &dyn Relations) -> String {
        match self {
            Source::Relation(name) => name.clone(),
            Source::Subquery(query) => format!("({}) AS s", query.sql(relations)),
            Source::Aliased(source, alias) => match source.as_ref() {
                Source::Subquery(query) => format!("({}) AS {alias}", query.sql(relations)),
                other => format!("{} AS {alias}", other.sql(relations)),
            },
            Source::Join(join) => join.sql(relations),
        }
    }

    /// Names of the relations it reads.
    #[must_use]
    pub fn inputs(&self) -> Vec<String> {
        match self {
            Source::Relation(name) => vec![name.clone()],
            Source::Subquery(query) => query.inputs(),
            Source::Aliased(source, _) => source.inputs(),
            Source::Join(join) => {
                let on = match &join.on {
                    Some(On::Condition(condition)) => condition.inputs(),
                    _ => Vec::new(),
                };
                [join.left.inputs(), join.right.inputs(), on].concat()
            }
        }
    }
}

impl Join {
    fn sql(&self, relations: &dyn Relations) -> String {
        let left = self.left.sql(relations);
        let right = match &self.right {
            join @ Source::Join(_) => format!("({})", join.sql(relations)),
            other => other.sql(relations),
        };
        let columns = [self.left.columns(relations), self.right.columns(relations)].concat();
        let kind = match self.kind {
            JoinKind::Inner => "JOIN",
            JoinKind::Left => "LEFT JOIN",
            JoinKind::Right => "RIGHT JOIN",
            JoinKind::Full => "FULL JOIN",
        };
        match &self.on {
            None => format!("{left} CROSS JOIN {right}"),
            Some(On::Condition(condition)) => format!("{left} {kind} {right} ON {}", condition.sql(&columns)),
            Some(On::Using(pairs)) => {
                let names: Vec<&str> = pairs.iter().map(|p| p.0.as_str()).collect();
                format!("{left} {kind} {right} USING ({})", names.join(", "))
            }
        }
    }

    fn rows(&self, context: &Context<'_>) -> Result<Vec<Row>, Failure> {
        let (left_columns, right_columns) =
            (self.left.columns(context.relations), self.right.columns(context.relations));
        let (left, right) = (self.left.rows(context)?, self.right.rows(context)?);
        let columns = [left_columns.clone(), right_columns.clone()].concat();
        // Most pairs differ in a column that must be equal: these are not worth a row.
        let equal = self.equal_columns(left_columns.len());
        let mut matched = vec![false; right.len()];
        let mut joined: Vec<Row> = Vec::new();
        for l in &left {
            let mut found = false;
            for (place, r) in right.iter().enumerate() {
                if equal.iter().any(|(a, b)| l[*a].is_null() || !l[*a].same(&r[*b])) {
                    continue;
                }
                let row: Row = l.iter().chain(r).cloned().collect();
                if self.holds(&row, left_columns.len(), &columns, context)? {
                    found = true;
                    matched[place] = true;
                    joined.push(row);
                }
            }
            if !found && matches!(self.kind, JoinKind::Left | JoinKind::Full) {
                joined.push(l.iter().cloned().chain(nulls(right_columns.len())).collect());
            }
        }
        if matches!(self.kind, JoinKind::Right | JoinKind::Full) {
            let alone = right.iter().zip(&matched).filter(|(_, matched)| !**matched);
            joined.extend(alone.map(|(r, _)| nulls(left_columns.len()).chain(r.iter().cloned()).collect()));
        }
        if let Some(On::Using(pairs)) = &self.on {
            for row in &mut joined {
                let merged = pairs.iter().map(|(_, l, r)| {
                    let (l, r) = (&row[*l], &row[left_columns.len() + *r]);
                    let first = if self.kind == JoinKind::Right { r } else { l };
                    if first.is_null() && self.kind == JoinKind::Full { r.clone() } else { first.clone() }
                });
                *row = merged.collect::<Row>().into_iter().chain(row.iter().cloned()).collect();
            }
        }
        Ok(joined)
    }

    /// Columns of both sides that are equal in every match.
    fn equal_columns(&self, left_count: usize) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        let mut open = match &self.on {
            Some(On::Condition(condition)) => vec![condition],
            _ => Vec::new(),
        };
        while let Some(condition) = open.pop() {
            match condition {
                Expression::And(a, b) => open.extend([a.as_ref(), b.as_ref()]),
                Expression::Compare(Comparison::Equal, a, b) => {
                    if let (Expression::Column(a), Expression::Column(b)) = (a.as_ref(), b.as_ref())
                        && *a < left_count
                        && *b >= left_count
                    {
                        found.push((*a, *b - left_count));
                    }
                }
                _ => {}
            }
        }
        found
    }

    fn holds(&self, row: &Row, left_count: usize, columns: &[Column], context: &Context<'_>) -> Result<bool, Failure> {
        Ok(match &self.on {
            None => true,
            Some(On::Condition(condition)) => is_true(&condition.value(&Scope { row, columns, context: *context })?),
            Some(On::Using(pairs)) => pairs.iter().all(|(_, l, r)| {
                let (l, r) = (&row[*l], &row[left_count + *r]);
                !l.is_null() && !r.is_null() && l.same(r)
            }),
        })
    }
}

fn nulls(count: usize) -> impl Iterator<Item = Value> {
    std::iter::repeat_n(Value::Null, count)
}
