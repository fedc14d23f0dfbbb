//! INSERT and COPY FROM.

use std::sync::Arc;

use arrow::datatypes::Field;
use datafusion::common::DFSchema;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection};
use datafusion::sql::sqlparser::ast::{self, Ident, SelectItem, SetExpr, Spanned, Value};
use datafusion::sql::sqlparser::tokenizer::Location;

use super::assign::assign;
use super::row_expressions::RowExpressions;
use super::target;
use crate::bind::{Binder, Bound, from_plan_error, result_schema, sql_error};
use crate::{Catalog, QueryPlan, Relation, SqlError, SqlType, identifier};

/// `INSERT`.
#[derive(Clone, Debug)]
pub struct InsertPlan {
    /// The table.
    pub relation: Relation,
    /// The types of `$1`, `$2`, … of the whole statement: every plan below takes all of them.
    pub parameters: Vec<SqlType>,
    /// The rows to insert: all columns of the table, defaults and casts applied. NOT NULL is not checked yet.
    pub rows: QueryPlan,
    /// What happens to a row whose key exists.
    pub on_conflict: Option<OnConflict>,
    /// RETURNING, over the rows as written.
    pub returning: Option<RowExpressions>,
}

/// `ON CONFLICT`.
#[derive(Clone, Debug)]
pub enum OnConflict {
    /// `DO NOTHING`.
    Nothing,
    /// `DO UPDATE`.
    Update {
        /// `WHERE`: one boolean column over the existing row's columns, then the proposed row's. Where it is not
        /// true the existing row stays.
        condition: Option<RowExpressions>,
        /// The new row (all columns of the table), over the existing row's columns, then the proposed row's.
        rows: RowExpressions,
    },
}

/// Plans an INSERT.
///
/// # Errors
/// What is wrong with the statement.
pub fn plan_insert(
    insert: &ast::Insert,
    catalog: &dyn Catalog,
    parameter_types: &[Option<SqlType>],
) -> Result<InsertPlan, SqlError> {
    let first = insert_once(insert, catalog, parameter_types)?;
    if first.1 {
        return Ok(first.0);
    }
    // As with queries: once more, now that all types are known.
    let known: Vec<_> = first.0.parameters.into_iter().map(Some).collect();
    Ok(insert_once(insert, catalog, &known)?.0)
}

fn insert_once(
    insert: &ast::Insert,
    catalog: &dyn Catalog,
    parameter_types: &[Option<SqlType>],
) -> Result<(InsertPlan, bool), SqlError> {
    let ast::TableObject::TableName(name) = &insert.table else {
        return Err(SqlError::unsupported("INSERT into a function"));
    };
    let relation = target::table(name, catalog)?;
    let binder = Binder::new(catalog, parameter_types);
    let columns = insert_columns(insert, &relation)?;
    let alias = insert.table_alias.as_ref().map(|a| &a.alias);
    let (plan, named) = rows_plan(insert, &relation, &columns, &binder)?;
    let on_conflict = match &insert.on {
        None => None,
        Some(ast::OnInsert::OnConflict(conflict)) => Some(on_conflict(conflict, &relation, name, alias, &binder)?),
        Some(_) => return Err(SqlError::unsupported("ON DUPLICATE KEY")),
    };
    let from = target::from_table(name, alias)?;
    let returning = target::returning(&binder, insert.returning.as_ref(), from, &relation)?;
    let (parameters, complete) = binder.parameter_types();
    let schema = result_schema(&plan);
    let rows = QueryPlan::from_bound(Bound {
        plan,
        schema,
        parameters: parameters.clone(),
        named,
        options: binder.options(),
    })?;
    Ok((InsertPlan { relation, parameters, rows, on_conflict, returning }, complete))
}

/// The places of the columns that the statement names, all if it names none.
pub(super) fn insert_columns(insert: &ast::Insert, relation: &Relation) -> Result<Vec<usize>, SqlError> {
    if insert.columns.is_empty() {
        return Ok((0..relation.columns.fields().len()).collect());
    }
    let mut places = Vec::with_capacity(insert.columns.len());
    for column in &insert.columns {
        let Some(ident) = column.0.last().and_then(|p| p.as_ident()) else {
            return Err(SqlError::syntax("a column's name is missing"));
        };
        let place = target::column_place(relation, ident)?;
        if places.contains(&place) {
            let message = format!("column \"{}\" specified more than once", identifier(ident));
            return Err(SqlError::new(b"42701", message).located(Some(ident.span.start)));
        }
        places.push(place);
    }
    Ok(places)
}

/// The plan of the rows, and the relations it reads.
fn rows_plan(
    insert: &ast::Insert,
    relation: &Relation,
    columns: &[usize],
    binder: &Binder<'_>,
) -> Result<(LogicalPlan, Vec<changelog::RelationId>), SqlError> {
    let fields = relation.columns.fields();
    let mut query = match &insert.source {
        Some(source) => source.as_ref().clone(),
        // INSERT … DEFAULT VALUES: one row that sets nothing.
        None => return default_row(relation, binder),
    };
    if let SetExpr::Values(values) = query.body.as_mut() {
        prepare_values(values, relation, columns)?;
    }
    let known: Vec<Option<&Field>> = columns.iter().map(|c| Some(fields[*c].as_ref())).collect();
    let plan = target::plan_for_columns(binder, &query, &known)?;
    let given = plan.schema().fields().len();
    if given > columns.len() {
        let error = SqlError::syntax("INSERT has more expressions than target columns");
        return Err(error.located(place_of_item(&query, columns.len())));
    }
    if given < columns.len() && !insert.columns.is_empty() {
        return Err(SqlError::syntax("INSERT has more target columns than expressions"));
    }
    let named = binder.named();
    let plan = all_columns(plan, relation, &columns[..given], binder).map_err(|e| from_plan_error(&e, &query))?;
    Ok((plan, named))
}

/// Where the expression for a column stands.
fn place_of_item(query: &ast::Query, column: usize) -> Option<Location> {
    match query.body.as_ref() {
        SetExpr::Values(values) => Some(values.rows.first()?.content.get(column)?.span().start),
        SetExpr::Select(select) => Some(select.projection.get(column)?.span().start),
        _ => None,
    }
}

fn default_row(
    relation: &Relation,
    binder: &Binder<'_>,
) -> Result<(LogicalPlan, Vec<changelog::RelationId>), SqlError> {
    let plan = binder.plan_query(crate::parse_query("SELECT 1")?).map_err(|e| sql_error(&e))?;
    let plan = binder.resolve(plan).map_err(|e| sql_error(&e))?;
    Ok((all_columns(plan, relation, &[], binder).map_err(|e| sql_error(&e))?, Vec::new()))
}

/// DEFAULT becomes the column's default, and literals and parameters get the column's type.
fn prepare_values(values: &mut ast::Values, relation: &Relation, columns: &[usize]) -> Result<(), SqlError> {
    let width = values.rows.first().map_or(0, |row| row.content.len());
    for row in &mut values.rows {
        if row.content.len() != width {
            let place = row.content.first().map(|cell| cell.span().start);
            return Err(SqlError::syntax("VALUES lists must all be the same length").located(place));
        }
        for (cell, place) in row.content.iter_mut().zip(columns) {
            if target::is_default(cell) {
                *cell = target::default_tree(relation, *place)?;
            }
            let wanted = SqlType::from_field(relation.columns.field(*place)).without_modifier();
            if is_unknown_literal(cell) || (is_number(cell) && takes_numbers(&wanted)) {
                let inner = std::mem::replace(cell, ast::Expr::value(Value::Null));
                *cell = ast::Expr::Cast {
                    kind: ast::CastKind::Cast,
                    expr: Box::new(inner),
                    data_type: type_tree(&wanted),
                    array: false,
                    format: None,
                };
            }
        }
    }
    Ok(())
}

fn is_unknown_literal(expr: &ast::Expr) -> bool {
    match expr {
        ast::Expr::Value(value) => !matches!(value.value, Value::Number(..) | Value::Boolean(_)),
        ast::Expr::Nested(inner) => is_unknown_literal(inner),
        _ => false,
    }
}

fn is_number(expr: &ast::Expr) -> bool {
    match expr {
        ast::Expr::Value(value) => matches!(value.value, Value::Number(..)),
        ast::Expr::UnaryOp { op: ast::UnaryOperator::Minus | ast::UnaryOperator::Plus, expr } => is_number(expr),
        _ => false,
    }
}

fn takes_numbers(sql_type: &SqlType) -> bool {
    functions::is_number(sql_type.data_type()) || *sql_type.data_type() == arrow::datatypes::DataType::Utf8
}

/// A type as it stands in a statement's tree.
fn type_tree(sql_type: &SqlType) -> ast::DataType {
    let base = ast::DataType::Custom(ast::ObjectName::from(vec![Ident::new(sql_type.base().name)]), Vec::new());
    if sql_type.is_array() {
        return ast::DataType::Array(ast::ArrayElemTypeDef::SquareBracket(Box::new(base), None));
    }
    base
}

/// All columns of the table over a plan that gives some of them: values assigned, defaults for the rest.
fn all_columns(
    plan: LogicalPlan,
    relation: &Relation,
    given: &[usize],
    binder: &Binder<'_>,
) -> datafusion::error::Result<LogicalPlan> {
    let schema = Arc::clone(plan.schema());
    let sources = schema.columns();
    let mut exprs = Vec::with_capacity(relation.columns.fields().len());
    for (place, field) in relation.columns.fields().iter().enumerate() {
        let expr = match given.iter().position(|g| *g == place) {
            Some(n) => assign(Expr::Column(sources[n].clone()), field, binder.coercion(), &schema)?,
            None => {
                let tree = target::default_tree(relation, place).map_err(crate::bind::failure)?;
                target::default_expression(binder, tree, field)?
            }
        };
        exprs.push(expr.alias(field.name()));
    }
    let plan = LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(plan))?);
    binder.resolve(plan)
}

fn on_conflict(
    conflict: &ast::OnConflict,
    relation: &Relation,
    name: &ast::ObjectName,
    alias: Option<&Ident>,
    binder: &Binder<'_>,
) -> Result<OnConflict, SqlError> {
    let key = relation.unique_key.clone().unwrap_or_default();
    if let Some(ast::ConflictTarget::Columns(columns)) = &conflict.conflict_target {
        let mut places = columns.iter().map(|c| target::column_place(relation, c)).collect::<Result<Vec<_>, _>>()?;
        places.sort_unstable();
        let mut wanted = key.clone();
        wanted.sort_unstable();
        if places != wanted || key.is_empty() {
            let message = "there is no unique or exclusion constraint matching the ON CONFLICT specification";
            return Err(SqlError::new(b"42P10", message));
        }
    }
    let ast::OnConflictAction::DoUpdate(update) = &conflict.action else { return Ok(OnConflict::Nothing) };
    if conflict.conflict_target.is_none() {
        let message = "ON CONFLICT DO UPDATE requires inference specification or constraint name";
        return Err(SqlError::syntax(message));
    }
    let mut set = target::assignments(relation, &update.assignments)?;
    let own = alias.cloned().unwrap_or_else(|| target::quoted(&relation.name));
    let mut items = Vec::new();
    let mut known = Vec::new();
    for (place, field) in relation.columns.fields().iter().enumerate() {
        let expr = match set.iter().position(|(p, _)| *p == place) {
            Some(n) => {
                let (_, value) = set.swap_remove(n);
                if target::is_default(&value) { target::default_tree(relation, place)? } else { value }
            }
            None => ast::Expr::CompoundIdentifier(vec![own.clone(), target::quoted(field.name())]),
        };
        items.push(SelectItem::ExprWithAlias { expr, alias: target::quoted(field.name()) });
        known.push(Some(field.as_ref()));
    }
    let existing = target::from_table(name, alias)?;
    let proposed = target::from_table(name, Some(&Ident::new("excluded")))?;
    let from = vec![existing, proposed];
    let width = relation.columns.fields().len() * 2;
    let rows = target::select(items, from.clone(), None)?;
    let rows = conflict_expressions(&rows, &known, binder, width)?;
    let condition = match &update.selection {
        None => None,
        Some(selection) => {
            let item = SelectItem::ExprWithAlias { expr: selection.clone(), alias: Ident::new("condition") };
            let boolean = Field::new("condition", arrow::datatypes::DataType::Boolean, true);
            let query = target::select(vec![item], from, None)?;
            Some(conflict_expressions(&query, &[Some(&boolean)], binder, width)?)
        }
    };
    Ok(OnConflict::Update { condition, rows })
}

fn conflict_expressions(
    query: &ast::Query,
    columns: &[Option<&Field>],
    binder: &Binder<'_>,
    width: usize,
) -> Result<RowExpressions, SqlError> {
    let plan = target::plan_for_columns(binder, query, columns)?;
    let (expressions, input) = target::over_rows(plan, width)?;
    let convert = |e| from_plan_error(&e, query);
    let mut assigned = Vec::with_capacity(expressions.len());
    for (expr, field) in expressions.into_iter().zip(columns) {
        let name = expr.schema_name().to_string();
        let expr = match field {
            Some(field) => assign(expr.unalias(), field, binder.coercion(), &input).map_err(convert)?,
            None => expr.unalias(),
        };
        assigned.push(expr.alias(name));
    }
    RowExpressions::new(assigned, input, binder.options()).map_err(convert)
}

/// What COPY FROM does with rows of the listed columns (positions in the table, in this order; each value already of
/// the column's type): all columns of the table, defaults applied, lengths and digits checked.
///
/// # Errors
/// What is wrong with a default.
pub fn plan_copy(relation: &Relation, columns: &[usize], catalog: &dyn Catalog) -> Result<RowExpressions, SqlError> {
    let binder = Binder::new(catalog, &[]);
    let fields: Vec<Field> = columns
        .iter()
        .map(|c| {
            // Without the modifier, so that the assignment checks it.
            let field = relation.columns.field(*c);
            let plain = SqlType::from_field(field);
            let plain = if plain.length_max().is_some() { plain.without_modifier() } else { plain };
            plain.field(field.name().clone(), true)
        })
        .collect();
    let schema = DFSchema::try_from(arrow::datatypes::Schema::new(fields)).map_err(|e| sql_error(&e))?;
    let schema = Arc::new(schema);
    let mut exprs = Vec::with_capacity(relation.columns.fields().len());
    for (place, field) in relation.columns.fields().iter().enumerate() {
        let expr = match columns.iter().position(|c| *c == place) {
            Some(n) => {
                let column = Expr::Column(schema.columns()[n].clone());
                assign(column, field, binder.coercion(), &schema)
            }
            None => target::default_expression(&binder, target::default_tree(relation, place)?, field),
        };
        exprs.push(expr.map_err(|e| sql_error(&e))?.alias(field.name()));
    }
    RowExpressions::new(exprs, schema, binder.options()).map_err(|e| sql_error(&e))
}
