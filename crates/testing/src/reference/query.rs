//! Queries: their SQL, and their rows.

use super::aggregate::Call;
use super::expression::{Comparison, Expression, is_true};
use super::value::{Column, Value};
use super::{Failure, Row};

/// Looks up a relation's columns and rows.
pub trait Relations {
    /// The columns of a relation.
    fn columns(&self, name: &str) -> &[Column];

    /// Its rows, or why it can't be read.
    ///
    /// # Errors
    /// That of the view.
    fn rows(&self, name: &str) -> Result<&[Row], Failure>;
}

/// Where a query's rows come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A table or view.
    Relation(String),
    /// A query in parentheses.
    Subquery(Box<Query>),
}

/// A query.
#[derive(Clone, Debug)]
pub enum Query {
    /// SELECT expressions
    Plain(Plain),
    /// SELECT DISTINCT expressions
    Distinct(Plain),
    /// GROUP BY
    Group(Group),
    /// UNION ALL
    Union(Vec<Query>),
}

/// Filter and projection.
#[derive(Clone, Debug)]
pub struct Plain {
    /// FROM
    pub source: Source,
    /// WHERE
    pub filter: Option<Expression>,
    /// The SELECT list.
    pub expressions: Vec<Expression>,
}

/// Grouping and aggregates.
#[derive(Clone, Debug)]
pub struct Group {
    /// FROM
    pub source: Source,
    /// WHERE
    pub filter: Option<Expression>,
    /// GROUP BY; none for one group that is always there.
    pub keys: Vec<Expression>,
    /// Which keys are put out; then come all aggregates.
    pub shown_keys: Vec<usize>,
    /// The aggregates.
    pub calls: Vec<Call>,
    /// HAVING
    pub having: Option<Having>,
}

/// A condition on an aggregate.
#[derive(Clone, Debug)]
pub struct Having {
    /// Which aggregate.
    pub call: usize,
    /// How it is compared.
    pub comparison: Comparison,
    /// With what.
    pub literal: Value,
}

impl Source {
    fn columns(&self, relations: &dyn Relations) -> Vec<Column> {
        match self {
            Source::Relation(name) => relations.columns(name).to_vec(),
            Source::Subquery(query) => query.columns(relations),
        }
    }

    fn rows(&self, relations: &dyn Relations) -> Result<Vec<Row>, Failure> {
        match self {
            Source::Relation(name) => relations.rows(name).map(<[Row]>::to_vec),
            Source::Subquery(query) => query.rows(relations),
        }
    }

    fn sql(&self, relations: &dyn Relations) -> String {
        match self {
            Source::Relation(name) => name.clone(),
            Source::Subquery(query) => format!("({}) AS s", query.sql(relations)),
        }
    }
}

impl Query {
    /// The columns it puts out, called c0, c1, ….
    #[must_use]
    pub fn columns(&self, relations: &dyn Relations) -> Vec<Column> {
        let named = |i: usize, kind, extreme| Column { name: format!("c{i}"), kind, extreme };
        match self {
            Query::Plain(plain) | Query::Distinct(plain) => {
                let input = plain.source.columns(relations);
                plain
                    .expressions
                    .iter()
                    .enumerate()
                    .map(|(i, e)| named(i, e.kind(&input), reaches_limits(e, &input)))
                    .collect()
            }
            Query::Group(group) => {
                let input = group.source.columns(relations);
                let keys = group
                    .shown_keys
                    .iter()
                    .map(|k| &group.keys[*k])
                    .map(|e| (e.kind(&input), reaches_limits(e, &input)));
                let calls = group
                    .calls
                    .iter()
                    .map(|c| (c.kind(&input), c.argument.as_ref().is_some_and(|a| reaches_limits(a, &input))));
                keys.chain(calls).enumerate().map(|(i, (kind, extreme))| named(i, kind, extreme)).collect()
            }
            Query::Union(parts) => {
                let mut columns = parts[0].columns(relations);
                for part in &parts[1..] {
                    for (column, other) in columns.iter_mut().zip(part.columns(relations)) {
                        column.extreme |= other.extreme;
                    }
                }
                columns
            }
        }
    }

    /// Names of the relations it reads.
    #[must_use]
    pub fn inputs(&self) -> Vec<String> {
        let of_source = |source: &Source| match source {
            Source::Relation(name) => vec![name.clone()],
            Source::Subquery(query) => query.inputs(),
        };
        match self {
            Query::Plain(plain) | Query::Distinct(plain) => of_source(&plain.source),
            Query::Group(group) => of_source(&group.source),
            Query::Union(parts) => parts.iter().flat_map(Query::inputs).collect(),
        }
    }

    /// Its text.
    #[must_use]
    pub fn sql(&self, relations: &dyn Relations) -> String {
        match self {
            Query::Plain(plain) => plain.sql("SELECT", relations),
            Query::Distinct(plain) => plain.sql("SELECT DISTINCT", relations),
            Query::Group(group) => group.sql(relations),
            Query::Union(parts) => parts.iter().map(|p| p.sql(relations)).collect::<Vec<_>>().join(" UNION ALL "),
        }
    }

    /// Its rows, in no order.
    ///
    /// # Errors
    /// That of the first expression that fails.
    pub fn rows(&self, relations: &dyn Relations) -> Result<Vec<Row>, Failure> {
        match self {
            Query::Plain(plain) => plain.rows(relations),
            Query::Distinct(plain) => {
                let mut kept: Vec<Row> = Vec::new();
                for row in plain.rows(relations)? {
                    if !kept.iter().any(|k| same(k, &row)) {
                        kept.push(row);
                    }
                }
                Ok(kept)
            }
            Query::Group(group) => group.rows(relations),
            Query::Union(parts) => {
                let mut rows = Vec::new();
                for part in parts {
                    rows.extend(part.rows(relations)?);
                }
                Ok(rows)
            }
        }
    }
}

impl Plain {
    fn sql(&self, select: &str, relations: &dyn Relations) -> String {
        let input = self.source.columns(relations);
        let list: Vec<String> =
            self.expressions.iter().enumerate().map(|(i, e)| format!("{} AS c{i}", e.sql(&input))).collect();
        format!("{select} {} FROM {}{}", list.join(", "), self.source.sql(relations), where_sql(&self.filter, &input))
    }

    fn rows(&self, relations: &dyn Relations) -> Result<Vec<Row>, Failure> {
        let input = self.source.columns(relations);
        filtered(self.source.rows(relations)?, &self.filter, &input)?
            .iter()
            .map(|row| self.expressions.iter().map(|e| e.value(row, &input)).collect())
            .collect()
    }
}

impl Group {
    fn sql(&self, relations: &dyn Relations) -> String {
        let input = self.source.columns(relations);
        let keys: Vec<String> = self.keys.iter().map(|k| k.sql(&input)).collect();
        let shown = self.shown_keys.iter().map(|k| keys[*k].clone());
        let calls = self.calls.iter().map(|c| c.sql(&input));
        let list: Vec<String> = shown.chain(calls).enumerate().map(|(i, e)| format!("{e} AS c{i}")).collect();
        let group_by = if keys.is_empty() { String::new() } else { format!(" GROUP BY {}", keys.join(", ")) };
        let having = self.having.as_ref().map_or_else(String::new, |h| {
            let call = &self.calls[h.call];
            format!(" HAVING {} {} {}", call.sql(&input), h.comparison.sql(), h.literal.sql(call.kind(&input)))
        });
        let source = self.source.sql(relations);
        format!("SELECT {} FROM {source}{}{group_by}{having}", list.join(", "), where_sql(&self.filter, &input))
    }

    fn rows(&self, relations: &dyn Relations) -> Result<Vec<Row>, Failure> {
        let input = self.source.columns(relations);
        let rows = filtered(self.source.rows(relations)?, &self.filter, &input)?;
        let mut groups: Vec<(Row, Vec<&Row>)> = Vec::new();
        if self.keys.is_empty() {
            groups.push((Vec::new(), Vec::new()));
        }
        for row in &rows {
            let key: Row = self.keys.iter().map(|k| k.value(row, &input)).collect::<Result<_, _>>()?;
            match groups.iter_mut().find(|(k, _)| same(k, &key)) {
                Some((_, members)) => members.push(row),
                None => groups.push((key, vec![row])),
            }
        }
        let mut results = Vec::new();
        for (key, members) in groups {
            let values: Row = self.calls.iter().map(|c| c.value(&members, &input)).collect::<Result<_, _>>()?;
            let kept = self.having.as_ref().is_none_or(|h| {
                let value = &values[h.call];
                !value.is_null() && h.comparison.holds(value.order(&h.literal))
            });
            if kept {
                results.push(self.shown_keys.iter().map(|k| key[*k].clone()).chain(values).collect());
            }
        }
        Ok(results)
    }
}

fn where_sql(filter: &Option<Expression>, input: &[Column]) -> String {
    filter.as_ref().map_or_else(String::new, |f| format!(" WHERE {}", f.sql(input)))
}

fn filtered(rows: Vec<Row>, filter: &Option<Expression>, input: &[Column]) -> Result<Vec<Row>, Failure> {
    let Some(filter) = filter else { return Ok(rows) };
    let mut kept = Vec::new();
    for row in rows {
        if is_true(&filter.value(&row, input)?) {
            kept.push(row);
        }
    }
    Ok(kept)
}

fn same(a: &Row, b: &Row) -> bool {
    a.iter().zip(b).all(|(a, b)| a.same(b))
}

/// Whether an expression's values may lie near the limits of its type.
fn reaches_limits(expression: &Expression, input: &[Column]) -> bool {
    match expression {
        Expression::Column(i) => input[*i].extreme,
        Expression::Literal(..) | Expression::Length(_) => false,
        Expression::Arithmetic(_, a, b)
        | Expression::Coalesce(a, b)
        | Expression::NullIf(a, b)
        | Expression::Case(_, a, b) => reaches_limits(a, input) || reaches_limits(b, input),
        Expression::Negate(a) => reaches_limits(a, input),
        _ => false,
    }
}
