//! GROUPING SETS, ROLLUP and CUBE.
//!
//! ```text
//! union
//!   aggregate by the keys and the set's id       all sets that have keys, at once
//!     expand                                     each row once per such set
//!   project NULL for the keys, id                a set without keys has its row also over no rows
//!     aggregate
//! ```
//!
//! A set's id has a bit for each key that it has not, the last key's being the lowest, and above them how many equal
//! sets come before it: what the planner's `grouping()` looks at.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use changelog::ChangelogMode;
use dataflow::operators::expand::ExpandSpec;
use dataflow::{AggregateCall, Column, Expression, OperatorSpec};
use datafusion::common::{Column as PlanColumn, DFSchema, ScalarValue};
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable};

use super::{Below, Lowered, Lowering, RowExpression};
use crate::SqlError;
use crate::bind::from_plan_error;

/// A grouping set: the places of its keys among all keys, and its id.
struct Set {
    keys: Vec<usize>,
    id: u64,
}

impl Lowering<'_> {
    /// An aggregate by several sets of keys.
    pub(super) fn grouping_sets(&mut self, aggregate: &Aggregate, sets: &[Vec<Expr>]) -> Result<Lowered, SqlError> {
        let input = self.node(&aggregate.input)?;
        let schema = aggregate.input.schema();
        let mut below = Below { columns: Vec::new() };
        let mut keys: Vec<Expr> = Vec::new();
        for key in sets.iter().flatten() {
            if !keys.contains(key) {
                keys.push(key.clone());
            }
        }
        // The planner's order of columns is that of first occurrence.
        let key_places: Vec<usize> = keys.iter().map(|key| below.place(key)).collect();
        let sets = numbered(&keys, sets);
        let has_empty = sets.iter().any(|set| set.keys.is_empty());
        let calls = self.calls(aggregate, schema, has_empty, &mut below)?;
        let node = self.computed(&below.columns, schema, input.node)?;
        let mut parts = Vec::new();
        if sets.iter().any(|set| !set.keys.is_empty()) {
            parts.push(self.by_sets(aggregate, node, &key_places, &sets, &calls)?);
        }
        if has_empty {
            let fields = calls.iter().map(|call| Field::new(call.text.clone(), call.function.result_type(), true));
            let output = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
            let spec = OperatorSpec::Aggregate { keys: Vec::new(), aggregates: calls.clone() };
            let global = self.push(spec, vec![node], output, ChangelogMode::Retracting);
            for set in sets.iter().filter(|set| set.keys.is_empty()) {
                parts.push(self.empty_set(aggregate, global, keys.len(), set.id)?);
            }
        }
        let unique = Some((0..=keys.len()).collect());
        let node = match parts.as_slice() {
            [only] => *only,
            _ => {
                let output = self.output_schema(aggregate, &calls);
                self.push(OperatorSpec::Union, parts, output, ChangelogMode::Retracting)
            }
        };
        Ok(Lowered { node, unique })
    }

    fn calls(
        &self,
        aggregate: &Aggregate,
        schema: &DFSchema,
        global: bool,
        below: &mut Below,
    ) -> Result<Vec<AggregateCall>, SqlError> {
        aggregate.aggr_expr.iter().map(|expr| self.call(expr, schema, global, below)).collect()
    }

    /// The groups of all sets that have keys, as columns of the plan's node.
    fn by_sets(
        &mut self,
        aggregate: &Aggregate,
        node: usize,
        key_places: &[usize],
        sets: &[Set],
        calls: &[AggregateCall],
    ) -> Result<usize, SqlError> {
        let below = Arc::clone(&self.nodes[node].schema);
        // Keys come first; a key that is an argument too is there twice, since the argument stays what it is.
        let arguments = calls.iter().flat_map(|call| {
            let order = call.order.iter().map(|key| key.column);
            call.arguments.iter().copied().chain(order).chain(call.filter)
        });
        let mut columns = key_places.to_vec();
        let first = columns.len();
        for argument in arguments {
            if !columns[first..].contains(&argument) {
                columns.push(argument);
            }
        }
        let place = |argument: usize| first + columns[first..].iter().position(|c| *c == argument).unwrap_or(0);
        let mut calls = calls.to_vec();
        for call in &mut calls {
            call.arguments.iter_mut().for_each(|a| *a = place(*a));
            call.order.iter_mut().for_each(|key| key.column = place(key.column));
            call.filter = call.filter.map(place);
        }
        let mut fields: Vec<Field> = columns.iter().map(|column| below.field(*column).clone()).collect();
        fields.iter_mut().take(first).for_each(|key| key.set_nullable(true));
        fields.push(Field::new("grouping set", DataType::Int64, false));
        let named = |set: &Set| {
            let keys: Vec<&str> = set.keys.iter().map(|key| fields[*key].name().as_str()).collect();
            format!("({})", keys.join(", "))
        };
        let with_keys: Vec<&Set> = sets.iter().filter(|set| !set.keys.is_empty()).collect();
        let spec = ExpandSpec {
            columns: columns.clone(),
            sets: with_keys.iter().map(|set| set.keys.clone()).collect(),
            ids: with_keys.iter().map(|set| set.id.cast_signed()).collect(),
            key_count: first,
            text: with_keys.into_iter().map(named).collect::<Vec<_>>().join(", "),
        };
        let mode = self.nodes[node].mode;
        let schema = Arc::new(Schema::new(fields));
        let id = columns.len();
        let expanded = self.push(OperatorSpec::Keyed(Arc::new(spec)), vec![node], Arc::clone(&schema), mode);
        let keys: Vec<usize> = (0..first).chain([id]).collect();
        let mut output: Vec<Field> = keys.iter().map(|key| schema.field(*key).clone()).collect();
        output.extend(calls.iter().map(|call| Field::new(call.text.clone(), call.function.result_type(), true)));
        let spec = OperatorSpec::Aggregate { keys, aggregates: calls };
        let output = Arc::new(Schema::new(output));
        let groups = self.push(spec, vec![expanded], Arc::clone(&output), ChangelogMode::Retracting);
        let fields = output.fields().iter().enumerate();
        let items = fields.map(|(place, field)| match place == first {
            true => Expr::Cast(Cast::new(Box::new(column(place)), aggregate.schema.field(first).data_type().clone())),
            false => {
                debug_assert!(!field.name().is_empty() || place > first, "keys have names");
                column(place)
            }
        });
        let items = items.collect();
        self.as_planned(aggregate, groups, items)
    }

    /// The row of a set without keys, as columns of the plan's node.
    fn empty_set(
        &mut self,
        aggregate: &Aggregate,
        global: usize,
        key_count: usize,
        id: u64,
    ) -> Result<usize, SqlError> {
        let constant = |field: &Field, value: ScalarValue| {
            let value = value.cast_to(field.data_type()).map_err(|e| from_plan_error(&e, self.query))?;
            Ok::<_, SqlError>(Expr::Literal(value, None))
        };
        let mut items = Vec::new();
        for key in 0..key_count {
            items.push(constant(aggregate.schema.field(key), ScalarValue::Null)?);
        }
        items.push(constant(aggregate.schema.field(key_count), ScalarValue::UInt64(Some(id)))?);
        items.extend((0..aggregate.aggr_expr.len()).map(column));
        self.as_planned(aggregate, global, items)
    }

    /// A projection with the columns of the plan's node. In `items`, columns are `c0`, `c1`, … of the node.
    fn as_planned(&mut self, aggregate: &Aggregate, node: usize, items: Vec<Expr>) -> Result<usize, SqlError> {
        let convert = |e| from_plan_error(&e, self.query);
        let schema = Arc::clone(&self.nodes[node].schema);
        let fields = schema.fields().iter().enumerate();
        let numbered = fields.map(|(n, f)| f.as_ref().clone().with_name(format!("c{n}")));
        let over = DFSchema::try_from(Schema::new(numbered.collect::<Vec<_>>())).map_err(convert)?;
        let mut expressions: Vec<Arc<dyn Expression>> = Vec::with_capacity(items.len());
        let mut output = Vec::with_capacity(items.len());
        for (item, field) in items.iter().zip(aggregate.schema.fields()) {
            let data_type = item.get_type(&over).map_err(convert)?;
            let name = self.names.column(field.name());
            output.push(field.as_ref().clone().with_name(name).with_data_type(data_type).with_nullable(true));
            expressions.push(match item {
                Expr::Column(found) => {
                    let index = over.maybe_index_of_column(found).unwrap_or(0);
                    let field = schema.field(index);
                    let (name, data_type) = (field.name().clone(), field.data_type().clone());
                    Arc::new(Column { index, name, data_type, nullable: field.is_nullable() })
                }
                item => {
                    let text = match item {
                        Expr::Cast(_) => "grouping set".to_owned(),
                        other => self.names.text(other),
                    };
                    Arc::new(RowExpression::new(item, &over, text).map_err(convert)?)
                }
            });
        }
        let spec = OperatorSpec::Project { expressions };
        Ok(self.push(spec, vec![node], Arc::new(Schema::new(output)), ChangelogMode::Retracting))
    }
}

fn column(place: usize) -> Expr {
    Expr::Column(PlanColumn::from_name(format!("c{place}")))
}

/// The sets by places of keys, with their ids.
fn numbered(keys: &[Expr], sets: &[Vec<Expr>]) -> Vec<Set> {
    let mut numbered: Vec<Set> = Vec::with_capacity(sets.len());
    for set in sets {
        let places: Vec<usize> = (0..keys.len()).filter(|place| set.contains(&keys[*place])).collect();
        let missing = (0..keys.len()).filter(|place| !places.contains(place));
        let bits = missing.map(|place| 1_u64 << (keys.len() - 1 - place)).sum::<u64>();
        let before = numbered.iter().filter(|earlier| earlier.keys == places).count() as u64;
        numbered.push(Set { keys: places, id: bits | (before << keys.len()) });
    }
    numbered
}
