//! The adapter that registers our aggregate functions with DataFusion, so that a one-off query and a
//! view compute with the same code.
//!
//! The records of all groups lie in segments as the aggregate operator's do; the group's index is its slot.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::compute::{SortOptions, filter};
use arrow::datatypes::{DataType, Field, FieldRef};
use changelog::{Accumulator, AggregateFunction, ChangelogMode, Finished, GroupWords, Records};
use datafusion::common::{Result, ScalarValue, internal_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator as RowAccumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};

use datafusion::physical_expr::expressions::Literal;

use super::catalog::{
    AGGREGATE_NAMES, coerced, counts, gives_argument, ignores_distinct, is_constant_argument, is_ordered,
    keeps_distinct, orders_within_group, takes_order, wanted_types,
};
use super::distinct::DistinctAccumulator;
use super::elements::OrderArgument;
use super::{Argument, ordered_aggregate};
use crate::PgError;

/// The key of field metadata that names the SQL type where the Arrow type alone does not.
const SQL_TYPE_METADATA: &str = "keyfold.type";

/// All aggregate functions, for registration with DataFusion under their own names.
#[must_use]
pub fn aggregate_udafs() -> Vec<Arc<AggregateUDF>> {
    let udaf = |name: &&'static str| {
        let signature = match *name {
            "count" => Signature::variadic_any(Volatility::Immutable),
            _ => Signature::user_defined(Volatility::Immutable),
        };
        Arc::new(AggregateUDF::from(Aggregate { name, signature }))
    };
    AGGREGATE_NAMES.iter().map(udaf).collect()
}

#[derive(Debug)]
struct Aggregate {
    name: &'static str,
    signature: Signature,
}

impl PartialEq for Aggregate {
    fn eq(&self, other: &Aggregate) -> bool {
        self.name == other.name
    }
}

impl Eq for Aggregate {}

impl Hash for Aggregate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl Aggregate {
    /// The function for arguments of these types, constants being unknown: for its result's type.
    fn function(&self, types: &[DataType]) -> Result<Arc<dyn AggregateFunction>> {
        match function_of(self.name, types) {
            Some(function) => Ok(function),
            None => plan_err!("function {}({types:?}) does not exist", self.name),
        }
    }

    /// The function of a call.
    fn call(&self, args: &AccumulatorArgs<'_>) -> Result<Call> {
        let mut arguments = Vec::with_capacity(args.exprs.len());
        let mut columns = Vec::new();
        let mut types = Vec::new();
        for (place, (expr, field)) in args.exprs.iter().zip(args.expr_fields).enumerate() {
            let literal = expr.downcast_ref::<Literal>().filter(|_| is_constant_argument(self.name, place));
            // Nullable always: a global aggregate is asked for its result without a row too.
            let constant = literal.map(|literal| literal.value().clone());
            if constant.is_none() {
                columns.push(place);
                types.push(field.data_type().clone());
            }
            arguments.push(Argument { constant, ..Argument::nullable(field.data_type().clone()) });
        }
        let mut order = Vec::with_capacity(args.order_bys.len());
        for (place, sort) in args.order_bys.iter().enumerate() {
            let data_type = sort.expr.data_type(args.schema)?;
            if takes_order(self.name) {
                columns.push(args.exprs.len() + place);
                types.push(data_type.clone());
            }
            let SortOptions { descending, nulls_first } = sort.options;
            order.push(OrderArgument { data_type, descending, nulls_first });
        }
        let distinct = args.is_distinct && keeps_distinct(self.name);
        match ordered_aggregate(self.name, &arguments, &order, distinct) {
            Some(function) => Ok(Call { function, columns, types }),
            None => {
                let message = format!("aggregate function {} with these arguments is not supported", self.name);
                Err(PgError::new(b"0A000", message).into())
            }
        }
    }

    /// Whether values are made distinct before they are folded.
    fn folds_distinct(&self, args: &AccumulatorArgs<'_>) -> bool {
        args.is_distinct && !keeps_distinct(self.name) && !ignores_distinct(self.name)
    }
}

/// A function, and which columns of what DataFusion hands it are folded, with their types.
struct Call {
    function: Arc<dyn AggregateFunction>,
    columns: Vec<usize>,
    types: Vec<DataType>,
}

fn function_of(name: &str, types: &[DataType]) -> Option<Arc<dyn AggregateFunction>> {
    let argument = |(place, t): (usize, &DataType)| {
        let constant = is_constant_argument(name, place).then(|| ScalarValue::try_from(t).ok()).flatten();
        Argument { constant, ..Argument::nullable(t.clone()) }
    };
    let arguments: Vec<Argument> = wanted_types(name, types).iter().enumerate().map(argument).collect();
    ordered_aggregate(name, &arguments, &[], false)
}

/// Whether there is an aggregate function of this name for arguments of these types. Other names are not ours to judge.
#[must_use]
pub fn aggregate_exists(name: &str, types: &[DataType]) -> bool {
    !AGGREGATE_NAMES.contains(&name) || function_of(name, &coerced(name, types)).is_some()
}

impl AggregateUDFImpl for Aggregate {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        // Whether there is such a function is for `aggregate_exists`, when literals have been given their types.
        Ok(coerced(self.name, types))
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match self.function(types) {
            Ok(function) => Ok(function.result_type()),
            Err(_) => Ok(types.first().cloned().unwrap_or(DataType::Null)),
        }
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        let types: Vec<DataType> = fields.iter().map(|field| field.data_type().clone()).collect();
        let field = Field::new(self.name, self.return_type(&types)?, self.is_nullable());
        let metadata = match (self.name, fields.first()) {
            ("json_agg" | "json_object_agg", _) => HashMap::from([(SQL_TYPE_METADATA.to_owned(), "json".to_owned())]),
            (name, Some(argument)) if gives_argument(name) => argument.metadata().clone(),
            _ => HashMap::new(),
        };
        Ok(Arc::new(field.with_metadata(metadata)))
    }

    fn is_nullable(&self) -> bool {
        !counts(self.name)
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        if counts(self.name) { Ok(ScalarValue::Int64(Some(0))) } else { ScalarValue::try_from(data_type) }
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        // Beneficial: the sort keys come with the arguments, and rows in any order.
        if takes_order(self.name) {
            AggregateOrderSensitivity::Beneficial
        } else {
            AggregateOrderSensitivity::Insensitive
        }
    }

    fn with_beneficial_ordering(self: Arc<Self>, _is_ordered: bool) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        Ok(Some(self))
    }

    fn supports_within_group_clause(&self) -> bool {
        orders_within_group(self.name)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if args.is_distinct && !keeps_distinct(self.name) && !ignores_distinct(self.name) {
            return Ok(vec![Arc::new(Field::new(format!("{}[distinct]", args.name), DataType::Binary, true))]);
        }
        let types = if is_ordered(self.name) {
            vec![DataType::Binary]
        } else {
            let types: Vec<DataType> = args.input_fields.iter().map(|field| field.data_type().clone()).collect();
            state_types(self.function(&types)?.as_ref())?
        };
        let field = |(i, t)| Arc::new(Field::new(format!("{}[{i}]", args.name), t, true));
        Ok(types.into_iter().enumerate().map(field).collect())
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn RowAccumulator>> {
        let call = self.call(&args)?;
        if self.folds_distinct(&args) {
            return Ok(Box::new(DistinctAccumulator::new(call.function, call.columns, call.types)));
        }
        Ok(Box::new(Single(Groups::new(call.function, ChangelogMode::AppendOnly).with_columns(call.columns))))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn RowAccumulator>> {
        if self.folds_distinct(&args) {
            return self.accumulator(args);
        }
        let call = self.call(&args)?;
        Ok(Box::new(Single(Groups::new(call.function, ChangelogMode::Retracting).with_columns(call.columns))))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !self.folds_distinct(&args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let call = self.call(&args)?;
        Ok(Box::new(Groups::new(call.function, ChangelogMode::AppendOnly).with_columns(call.columns)))
    }
}

fn state_types(function: &dyn AggregateFunction) -> Result<Vec<DataType>> {
    match function.partial_types(ChangelogMode::AppendOnly) {
        Some(types) => Ok(types),
        None => internal_err!("aggregate {} has no partial results", function.name()),
    }
}

/// Slots of a segment, as a power of two.
const SEGMENT_SHIFT: u32 = 12;

/// An accumulator with the records of its groups.
#[derive(Debug)]
pub(super) struct Groups {
    function: Arc<dyn AggregateFunction>,
    mode: ChangelogMode,
    accumulator: Box<dyn Accumulator>,
    segments: Vec<Box<[u64]>>,
    group_count: usize,
    /// Which columns of what DataFusion hands over are folded; all if `None`.
    columns: Option<Vec<usize>>,
}

impl Groups {
    pub(super) fn new(function: Arc<dyn AggregateFunction>, mode: ChangelogMode) -> Groups {
        let accumulator = function.accumulator(mode);
        Groups { function, mode, accumulator, segments: Vec::new(), group_count: 0, columns: None }
    }

    /// Groups that fold some of the columns that DataFusion hands over.
    fn with_columns(self, columns: Vec<usize>) -> Groups {
        Groups { columns: Some(columns), ..self }
    }

    /// The columns that are folded.
    fn folded(&self, values: &[ArrayRef]) -> Vec<ArrayRef> {
        match &self.columns {
            None => values.to_vec(),
            Some(columns) => columns.iter().map(|column| Arc::clone(&values[*column])).collect(),
        }
    }

    pub(super) fn reserve(&mut self, group_count: usize) {
        self.group_count = self.group_count.max(group_count);
        let words = self.accumulator.word_count() << SEGMENT_SHIFT;
        while self.segments.len() << SEGMENT_SHIFT < self.group_count {
            self.segments.push(vec![0; words].into_boxed_slice());
        }
    }

    pub(super) fn fold(&mut self, slots: &[u32], arguments: &[ArrayRef], weights: Option<&[i64]>) {
        let width = self.accumulator.word_count();
        let mut words = GroupWords::new(&mut self.segments, SEGMENT_SHIFT, width, 0, width);
        self.accumulator.fold(&mut words, slots, arguments, weights);
    }

    fn merge(&mut self, slots: &[u32], partials: &[ArrayRef]) {
        let width = self.accumulator.word_count();
        let mut words = GroupWords::new(&mut self.segments, SEGMENT_SHIFT, width, 0, width);
        self.accumulator.merge(&mut words, slots, partials);
    }

    /// The words of the first `count` groups, one record after another.
    fn words(&self, count: usize) -> Vec<u64> {
        let wanted = count * self.accumulator.word_count();
        let mut words = Vec::with_capacity(wanted);
        for segment in &self.segments {
            let rest = wanted - words.len();
            words.extend_from_slice(&segment[..rest.min(segment.len())]);
        }
        words
    }

    /// Calls `read` with the records of the groups that are to be put out.
    fn read<R>(&self, emit: EmitTo, read: impl FnOnce(&dyn Accumulator, &Records<'_>) -> R) -> R {
        let count = self.emitted(emit);
        let words = self.words(count);
        let slots: Vec<u32> = (0..count as u32).collect();
        let width = self.accumulator.word_count();
        read(self.accumulator.as_ref(), &Records::new(&words, &slots, width, 0, width))
    }

    fn emitted(&self, emit: EmitTo) -> usize {
        match emit {
            EmitTo::All => self.group_count,
            EmitTo::First(count) => count.min(self.group_count),
        }
    }

    pub(super) fn values(&self, emit: EmitTo) -> Result<ArrayRef> {
        let Finished { values, errors } = self.read(emit, |accumulator, records| accumulator.finish(records));
        match errors.into_iter().next() {
            None => Ok(values),
            Some((_, error)) => Err(PgError { sqlstate: error.sqlstate, message: error.message }.into()),
        }
    }

    fn partials(&self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        match self.read(emit, |accumulator, records| accumulator.partial(records)) {
            Some(partials) => Ok(partials),
            None => internal_err!("aggregate {} has no partial results", self.function.name()),
        }
    }

    /// Forgets the groups that were put out; the others move down to the first slots.
    fn forget(&mut self, emit: EmitTo) -> Result<()> {
        let gone = self.emitted(emit);
        let kept = self.group_count - gone;
        let width = self.accumulator.word_count();
        let mut rest = Groups::new(Arc::clone(&self.function), self.mode);
        rest.columns = self.columns.take();
        if kept > 0 {
            rest.reserve(kept);
            let words = self.words(self.group_count);
            for slot in 0..kept {
                let from = (slot + gone) * width;
                let mut groups = GroupWords::new(&mut rest.segments, SEGMENT_SHIFT, width, 0, width);
                groups.at(slot as u32).copy_from_slice(&words[from..from + width]);
                if self.accumulator.has_side_state() {
                    let mut bytes = Vec::new();
                    self.accumulator.save((slot + gone) as u32, &mut bytes);
                    if let Err(reason) = rest.accumulator.load(slot as u32, &bytes) {
                        return internal_err!("aggregate state could not be moved: {reason}");
                    }
                }
            }
        }
        *self = rest;
        Ok(())
    }
}

/// Row positions' groups as slots, and the arguments, without the rows that the filter leaves out.
fn filtered(values: &[ArrayRef], groups: &[usize], keep: Option<&BooleanArray>) -> Result<(Vec<ArrayRef>, Vec<u32>)> {
    let Some(keep) = keep else {
        return Ok((values.to_vec(), groups.iter().map(|group| *group as u32).collect()));
    };
    let kept = |i: usize| keep.is_valid(i) && keep.value(i);
    let slots = groups.iter().enumerate().filter(|(i, _)| kept(*i)).map(|(_, group)| *group as u32).collect();
    let values = values.iter().map(|column| Ok(filter(column, keep)?)).collect::<Result<_>>()?;
    Ok((values, slots))
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.reserve(total_num_groups);
        let (values, slots) = filtered(&self.folded(values), group_indices, opt_filter)?;
        self.fold(&slots, &values, None);
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let values = self.values(emit_to)?;
        self.forget(emit_to)?;
        Ok(values)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let partials = self.partials(emit_to)?;
        self.forget(emit_to)?;
        Ok(partials)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.reserve(total_num_groups);
        let (values, slots) = filtered(values, group_indices, None)?;
        self.merge(&slots, &values);
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let row_count = values.first().map_or(0, |column| column.len());
        let rows: Vec<usize> = (0..row_count).collect();
        let mut each = Groups::new(Arc::clone(&self.function), self.mode);
        each.columns.clone_from(&self.columns);
        each.update_batch(values, &rows, opt_filter, row_count)?;
        each.partials(EmitTo::All)
    }

    fn size(&self) -> usize {
        let segment = (self.accumulator.word_count() << SEGMENT_SHIFT) * size_of::<u64>();
        self.segments.len() * segment + self.accumulator.side_bytes()
    }
}

/// The accumulator of one group.
#[derive(Debug)]
struct Single(Groups);

impl Single {
    fn update(&mut self, values: &[ArrayRef], weight: Option<i64>) {
        let row_count = values.first().map_or(0, |column| column.len());
        self.0.reserve(1);
        let weights = weight.map(|weight| vec![weight; row_count]);
        let values = self.0.folded(values);
        self.0.fold(&vec![0; row_count], &values, weights.as_deref());
    }
}

impl RowAccumulator for Single {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.update(values, None);
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.update(values, Some(-1));
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        self.0.mode == ChangelogMode::Retracting
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.0.reserve(1);
        ScalarValue::try_from_array(&self.0.values(EmitTo::All)?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.reserve(1);
        self.0.partials(EmitTo::All)?.iter().map(|column| ScalarValue::try_from_array(column, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.reserve(1);
        let row_count = states.first().map_or(0, |column| column.len());
        self.0.merge(&vec![0; row_count], states);
        Ok(())
    }

    fn size(&self) -> usize {
        size_of::<Single>() + GroupsAccumulator::size(&self.0)
    }
}
