//! Grouping: keys, grouping sets, aggregates and HAVING.

use super::aggregate::Call;
use super::expression::{Comparison, Expression, Scope};
use super::query::{Context, Relations, filtered, reaches_limits, result_column, same, where_sql};
use super::source::Source;
use super::value::{Column, Type, Value};
use super::{Failure, Row};

/// Grouping and aggregates.
#[derive(Clone, Debug)]
pub struct Group {
    /// FROM
    pub source: Source,
    /// WHERE
    pub filter: Option<Expression>,
    /// GROUP BY; none for one group that is always there.
    pub keys: Vec<Expression>,
    /// Several groupings in one, by some of the keys each.
    pub sets: Option<GroupingSets>,
    /// Which keys are put out; then come all aggregates.
    pub shown_keys: Vec<usize>,
    /// The aggregates.
    pub calls: Vec<Call>,
    /// HAVING
    pub having: Option<Having>,
}

/// GROUPING SETS, ROLLUP or CUBE over all keys; `grouping()` of all keys is put out last.
#[derive(Clone, Debug)]
pub enum GroupingSets {
    /// GROUPING SETS ((0, 1), (1), ())
    Sets(Vec<Vec<usize>>),
    /// ROLLUP
    Rollup,
    /// CUBE
    Cube,
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

impl Group {
    /// The columns it puts out.
    #[must_use]
    pub fn columns(&self, relations: &dyn Relations) -> Vec<Column> {
        let input = self.source.columns(relations);
        let keys = self.shown_keys.iter().map(|k| &self.keys[*k]).map(|e| (e.kind(&input), reaches_limits(e, &input)));
        let calls =
            self.calls.iter().map(|c| (c.kind(&input), c.argument.as_ref().is_some_and(|a| reaches_limits(a, &input))));
        let grouping = self.sets.iter().map(|_| (Type::Integer, false));
        keys.chain(calls)
            .chain(grouping)
            .enumerate()
            .map(|(i, (kind, extreme))| result_column(i, kind, extreme))
            .collect()
    }

    /// Its text.
    #[must_use]
    pub fn sql(&self, relations: &dyn Relations) -> String {
        let input = self.source.columns(relations);
        let keys: Vec<String> = self.keys.iter().map(|k| k.sql(&input)).collect();
        let shown = self.shown_keys.iter().map(|k| keys[*k].clone());
        let calls = self.calls.iter().map(|c| c.sql(&input));
        let grouping = self.sets.iter().map(|_| format!("grouping({})", keys.join(", ")));
        let list: Vec<String> =
            shown.chain(calls).chain(grouping).enumerate().map(|(i, e)| format!("{e} AS c{i}")).collect();
        let group_by = match &self.sets {
            _ if keys.is_empty() => String::new(),
            None => format!(" GROUP BY {}", keys.join(", ")),
            Some(GroupingSets::Rollup) => format!(" GROUP BY ROLLUP ({})", keys.join(", ")),
            Some(GroupingSets::Cube) => format!(" GROUP BY CUBE ({})", keys.join(", ")),
            Some(GroupingSets::Sets(sets)) => {
                let set = |set: &Vec<usize>| {
                    format!("({})", set.iter().map(|k| keys[*k].clone()).collect::<Vec<_>>().join(", "))
                };
                format!(" GROUP BY GROUPING SETS ({})", sets.iter().map(set).collect::<Vec<_>>().join(", "))
            }
        };
        let having = self.having.as_ref().map_or_else(String::new, |h| {
            let call = &self.calls[h.call];
            format!(" HAVING {} {} {}", call.sql(&input), h.comparison.sql(), h.literal.sql(call.kind(&input)))
        });
        let source = self.source.sql(relations);
        format!("SELECT {} FROM {source}{}{group_by}{having}", list.join(", "), where_sql(&self.filter, &input))
    }

    /// Its rows.
    ///
    /// # Errors
    /// That of the first expression that fails.
    pub fn rows(&self, context: &Context<'_>) -> Result<Vec<Row>, Failure> {
        let columns = &self.source.columns(context.relations);
        let rows = filtered(self.source.rows(context)?, &self.filter, columns, context)?;
        let mut results = Vec::new();
        for set in self.all_sets() {
            let mut groups: Vec<(Row, Vec<&Row>)> = Vec::new();
            if set.is_empty() {
                groups.push((vec![Value::Null; self.keys.len()], Vec::new()));
            }
            for row in &rows {
                let scope = Scope { row, columns, context: *context };
                let mut key = vec![Value::Null; self.keys.len()];
                for k in &set {
                    key[*k] = self.keys[*k].value(&scope)?;
                }
                match groups.iter_mut().find(|(k, _)| same(k, &key)) {
                    Some((_, members)) => members.push(row),
                    None => groups.push((key, vec![row])),
                }
            }
            for (key, members) in groups {
                let values: Row =
                    self.calls.iter().map(|c| c.value(&members, columns, context)).collect::<Result<_, _>>()?;
                if self.keeps(&values) {
                    let shown = self.shown_keys.iter().map(|k| key[*k].clone());
                    let grouping = self.sets.iter().map(|_| Value::Integer(self.grouping(&set)));
                    results.push(shown.chain(values).chain(grouping).collect());
                }
            }
        }
        Ok(results)
    }

    fn keeps(&self, values: &Row) -> bool {
        self.having.as_ref().is_none_or(|h| {
            let value = &values[h.call];
            !value.is_null() && h.comparison.holds(value.order(&h.literal))
        })
    }

    /// The keys of each grouping.
    fn all_sets(&self) -> Vec<Vec<usize>> {
        let count = self.keys.len();
        match &self.sets {
            None => vec![(0..count).collect()],
            Some(GroupingSets::Sets(sets)) => sets.clone(),
            Some(GroupingSets::Rollup) => (0..=count).map(|n| (0..n).collect()).collect(),
            Some(GroupingSets::Cube) => {
                (0..1usize << count).map(|bits| (0..count).filter(|k| bits >> k & 1 == 1).collect()).collect()
            }
        }
    }

    /// A bit for each key, the first one's highest: 1 where the key is not grouped by.
    fn grouping(&self, set: &[usize]) -> i64 {
        (0..self.keys.len()).fold(0, |bits, k| bits * 2 + i64::from(!set.contains(&k)))
    }
}
