//! A catalog of tables in memory, for this crate's tests.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use changelog::{ChangelogMode, Epoch, RelationId};
use datafusion::common::ScalarValue;
use functions::text_format::{Clock, to_text};
use futures::StreamExt;
use state::{EpochPins, ReadTable, StateError};

use crate::{
    Cancel, Catalog, QueryMemory, QueryPlan, Relation, RelationKind, RunContext, SessionSettings, SqlError, SqlType,
    Statement, SystemFunction, plan_query,
};

/// A table's rows.
#[derive(Debug)]
pub struct MemoryTable {
    pub rows: RecordBatch,
    pub unique_key: Option<Vec<usize>>,
}

impl ReadTable for MemoryTable {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    fn scan(
        &self,
        _partition: usize,
        _epoch: Epoch,
        projection: Option<&[usize]>,
        visit: &mut dyn FnMut(RecordBatch) -> ControlFlow<()>,
    ) -> Result<(), StateError> {
        let rows = match projection {
            Some(columns) => self.rows.project(columns)?,
            None => self.rows.clone(),
        };
        let _ = visit(rows);
        Ok(())
    }

    fn unique_key(&self) -> Option<&[usize]> {
        self.unique_key.as_deref()
    }

    fn lookup(&self, _epoch: Epoch, keys: &[ArrayRef]) -> Result<RecordBatch, StateError> {
        let columns = self.unique_key.clone().unwrap_or_default();
        let value = |array: &ArrayRef, row| ScalarValue::try_from_array(array, row).expect("is a value");
        let found = (0..self.rows.num_rows())
            .filter(|row| columns.iter().zip(keys).all(|(c, key)| value(self.rows.column(*c), *row) == value(key, 0)));
        let found = UInt32Array::from_iter_values(found.map(|row| row as u32));
        Ok(take_record_batch(&self.rows, &found)?)
    }

    fn row_count(&self) -> usize {
        self.rows.num_rows()
    }

    fn memory_bytes(&self) -> usize {
        0
    }
}

/// Relations by name.
#[derive(Debug, Default)]
pub struct MemoryCatalog {
    relations: BTreeMap<String, Relation>,
    settings: SessionSettings,
    pub functions: Vec<Arc<dyn SystemFunction>>,
}

impl Catalog for MemoryCatalog {
    fn resolve(&self, name: &[String]) -> Option<Relation> {
        self.relations.get(name.last()?).cloned()
    }

    fn settings(&self) -> &SessionSettings {
        &self.settings
    }

    fn functions(&self) -> Vec<Arc<dyn SystemFunction>> {
        self.functions.clone()
    }
}

impl MemoryCatalog {
    /// Adds a table: columns as `name type [not null]`, rows as the text of a VALUES list.
    pub fn table(&mut self, name: &str, columns: &str, values: &str, key: Option<Vec<usize>>) {
        let text = format!("CREATE TABLE {name} ({columns})");
        let parsed = crate::parse(&text).expect("columns parse");
        let Statement::Standard(statement) = &parsed[0].statement else { panic!("no table") };
        let crate::ast::Statement::CreateTable(create) = statement.as_ref() else { panic!("no table") };
        let fields: Vec<Field> = create
            .columns
            .iter()
            .map(|c| {
                let nullable = !c.options.iter().any(|o| matches!(o.option, crate::ast::ColumnOption::NotNull));
                SqlType::from_ast(&c.data_type).expect("a type").field(c.name.value.clone(), nullable)
            })
            .collect();
        let schema = Arc::new(Schema::new(fields));
        let rows = if values.is_empty() {
            RecordBatch::new_empty(Arc::clone(&schema))
        } else {
            let casts =
                create.columns.iter().enumerate().map(|(n, c)| format!("CAST(column{} AS {})", n + 1, c.data_type));
            let query = format!("SELECT {} FROM (VALUES {values}) v", casts.collect::<Vec<_>>().join(", "));
            let (_, batches) = run(&MemoryCatalog::default(), &query, &[]).expect("values are read");
            let columns = concat_batches(&batches[0].schema(), &batches).expect("one batch").columns().to_vec();
            RecordBatch::try_new(Arc::clone(&schema), columns).expect("rows are of the table's columns")
        };
        let read = Arc::new(MemoryTable { rows, unique_key: key.clone() });
        self.add(name, schema, RelationKind::Table, Some(read), key);
    }

    /// Adds any relation.
    pub fn add(
        &mut self,
        name: &str,
        columns: SchemaRef,
        kind: RelationKind,
        read: Option<Arc<dyn ReadTable>>,
        unique_key: Option<Vec<usize>>,
    ) {
        let id = RelationId(16_384 + self.relations.len() as u32);
        let relation = Relation {
            id,
            schema_name: "public".to_owned(),
            name: name.to_owned(),
            columns,
            kind,
            read,
            unique_key,
            mode: ChangelogMode::Retracting,
            defaults: Vec::new(),
        };
        self.relations.insert(name.to_owned(), relation);
    }
}

/// A context for runs.
pub fn context() -> RunContext {
    RunContext {
        now_micros: 1_700_000_000_000_000,
        memory: QueryMemory::new(1 << 30).expect("memory"),
        cancel: Cancel::new(),
    }
}

/// Runs a query to its end.
pub fn run(
    catalog: &dyn Catalog,
    text: &str,
    parameters: &[ArrayRef],
) -> Result<(SchemaRef, Vec<RecordBatch>), SqlError> {
    let query = crate::parse_query(text)?;
    let types: Vec<_> = parameters.iter().map(|p| Some(SqlType::new(p.data_type().clone()))).collect();
    let plan = plan_query(&query, catalog, &types).map_err(|e| e.locate(text))?;
    Ok((plan.schema(), run_plan(&plan, parameters)?))
}

/// Runs a planned query to its end.
pub fn run_plan(plan: &QueryPlan, parameters: &[ArrayRef]) -> Result<Vec<RecordBatch>, SqlError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("runtime");
    runtime.block_on(async {
        let pins = EpochPins::new();
        let mut rows = plan.run(parameters, pins.pin(), context())?;
        let mut batches = Vec::new();
        while let Some(batch) = rows.next().await {
            batches.push(batch?);
        }
        Ok(batches)
    })
}

/// The rows of a batch as text, values separated by `|`.
pub fn lines(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let shown = |column: &ArrayRef| match column.data_type() {
        DataType::LargeBinary => Arc::new(to_text(column, &Clock::default())) as ArrayRef,
        _ => Arc::clone(column),
    };
    let columns: Vec<ArrayRef> = batch.columns().iter().map(shown).collect();
    let formatters: Vec<_> =
        columns.iter().map(|c| ArrayFormatter::try_new(c, &options).expect("can be shown")).collect();
    (0..batch.num_rows())
        .map(|row| formatters.iter().map(|f| f.value(row).to_string()).collect::<Vec<_>>().join("|"))
        .collect()
}

/// The header (`name:type`) and rows of a query, or its error.
pub fn show(catalog: &dyn Catalog, text: &str) -> String {
    match run(catalog, text, &[]) {
        Ok((schema, batches)) => {
            let header = schema
                .fields()
                .iter()
                .map(|f| format!("{}:{}", f.name(), SqlType::from_field(f).name()))
                .collect::<Vec<_>>()
                .join("|");
            let rows = batches.iter().flat_map(lines);
            std::iter::once(header).chain(rows).collect::<Vec<_>>().join("\n")
        }
        Err(error) => match error.position {
            Some(position) => format!("{} at {position}: {}", error.sqlstate, error.message),
            None => format!("{}: {}", error.sqlstate, error.message),
        },
    }
}
