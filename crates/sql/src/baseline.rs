//! DataFusion's own answer over batches in memory: what benchmarks compare with.
//!
//! Nothing of Keyfold's semantics is in it: DataFusion's functions, types and optimizer as they come.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use datafusion::datasource::MemTable;
use datafusion::prelude::{CsvReadOptions, SessionConfig, SessionContext};

use crate::SqlError;

/// What a baseline run gave.
#[derive(Clone, Debug)]
pub struct Baseline {
    /// Rows of the answer.
    pub row_count: usize,
    /// From planning to the last row.
    pub elapsed: Duration,
}

/// Runs `query` over the relation `t` of these batches, spread over as many partitions as there are workers.
///
/// # Errors
/// Whatever DataFusion reports.
pub async fn batch_answer(batches: &[RecordBatch], query: &str, worker_count: usize) -> Result<Baseline, SqlError> {
    tables_answer(&[("t", batches)], query, worker_count).await
}

/// Runs `query` over relations of these names and batches.
///
/// # Errors
/// Whatever DataFusion reports.
pub async fn tables_answer(
    tables: &[(&str, &[RecordBatch])],
    query: &str,
    worker_count: usize,
) -> Result<Baseline, SqlError> {
    let context = context(worker_count);
    for (name, batches) in tables {
        let schema = batches.first().map(RecordBatch::schema).ok_or_else(|| SqlError::internal("no batches"))?;
        let mut partitions = vec![Vec::new(); worker_count];
        for (at, batch) in batches.iter().enumerate() {
            // DataFusion works on pieces of 8,192 rows; whole ones would be handed on as they are.
            let starts = (0..batch.num_rows()).step_by(8192);
            let pieces = starts.map(|start| batch.slice(start, 8192.min(batch.num_rows() - start)));
            partitions[at % worker_count].extend(pieces);
        }
        let table = MemTable::try_new(schema, partitions).map_err(internal)?;
        context.register_table(*name, Arc::new(table)).map_err(internal)?;
    }
    run(&context, query).await
}

/// Runs `query` over the relation `t`: a CSV file with a header.
///
/// # Errors
/// Whatever DataFusion reports.
pub async fn csv_answer(path: &str, query: &str, worker_count: usize) -> Result<Baseline, SqlError> {
    let context = context(worker_count);
    context.register_csv("t", path, CsvReadOptions::new()).await.map_err(internal)?;
    run(&context, query).await
}

fn context(worker_count: usize) -> SessionContext {
    SessionContext::new_with_config(SessionConfig::new().with_target_partitions(worker_count))
}

async fn run(context: &SessionContext, query: &str) -> Result<Baseline, SqlError> {
    let started = Instant::now();
    let answer = context.sql(query).await.map_err(internal)?.collect().await.map_err(internal)?;
    let row_count = answer.iter().map(RecordBatch::num_rows).sum();
    Ok(Baseline { row_count, elapsed: started.elapsed() })
}

fn internal(error: datafusion::error::DataFusionError) -> SqlError {
    SqlError::internal(error.to_string())
}
