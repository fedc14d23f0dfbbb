//! The aggregates through DataFusion: several partitions, DISTINCT, FILTER, windows, no rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};

use super::aggregate_udafs;
use crate::text_format::{Clock, write_value};

/// 30 rows in three partitions: k = 0..3, v = row or NULL for each fifth, f, t.
async fn context() -> SessionContext {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(3));
    for udaf in aggregate_udafs() {
        context.register_udaf(udaf.as_ref().clone());
    }
    let batch = |from: i64| {
        let rows = from..from + 10;
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("k", Arc::new(rows.clone().map(|i| (i % 3) as i32).collect::<Int32Array>())),
            ("v", Arc::new(rows.clone().map(|i| (i % 5 != 0).then_some(i)).collect::<Int64Array>())),
            ("f", Arc::new(rows.clone().map(|i| Some(i as f64 / 10.0)).collect::<Float64Array>())),
            ("t", Arc::new(rows.map(|i| Some(format!("t{}", i % 4))).collect::<StringArray>())),
        ];
        RecordBatch::try_from_iter(columns).expect("columns are of one length")
    };
    let schema = batch(0).schema();
    let partitions = vec![vec![batch(0)], vec![batch(10)], vec![batch(20)]];
    let table = MemTable::try_new(schema, partitions).expect("one schema");
    context.register_table("r", Arc::new(table)).expect("registers");
    context
}

async fn rows(context: &SessionContext, query: &str) -> Vec<String> {
    let batches = context.sql(query).await.expect(query).collect().await.expect(query);
    let mut rows = Vec::new();
    for batch in &batches {
        for row in 0..batch.num_rows() {
            let shown = batch.columns().iter().map(|column| {
                let mut out = String::new();
                write_value(column.as_ref(), row, &Clock::default(), &mut out);
                out
            });
            rows.push(shown.collect::<Vec<_>>().join("|"));
        }
    }
    rows
}

#[tokio::test]
async fn queries_get_the_answers_of_postgresql() {
    let context = context().await;
    let query = "SELECT k, count(*), count(v), sum(v), avg(v), min(v), max(t), sum(f), count(DISTINCT t), \
                 sum(v) FILTER (WHERE v > 10) FROM r GROUP BY k ORDER BY k";
    let expected = [
        "0|10|8|120|15.0000000000000000|3|t3|13.5|4|102",
        "1|10|8|110|13.7500000000000000|1|t3|14.5|4|98",
        "2|10|8|130|16.2500000000000000|2|t3|15.5|4|120",
    ];
    assert_eq!(rows(&context, query).await, expected);

    let query =
        "SELECT count(*), count(DISTINCT v), sum(DISTINCT v), avg(f), bool_and(v > 0), stddev(v), min(t) FROM r";
    assert_eq!(rows(&context, query).await, ["30|24|360|1.45|t|8.7972327664911815|t0"]);

    let query = "SELECT count(*), count(v), sum(v), avg(f), max(t), variance(v) FROM r WHERE k > 5";
    assert_eq!(rows(&context, query).await, ["0|0||||"]);

    let query = "SELECT v, sum(v) OVER w, min(v) OVER w FROM r WHERE v < 7 \
                 WINDOW w AS (ORDER BY v ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) ORDER BY v";
    let expected = ["1|1|1", "2|3|1", "3|5|2", "4|7|3", "6|10|4"];
    assert_eq!(rows(&context, query).await, expected);
}
