//! COPY: rows in, rows out.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::Schema;
use database::{CopyFormat, Outcome};

use crate::client::Client;

async fn copy(client: &mut Client, statement: &str, ids: Vec<i32>) -> Result<String, database::DatabaseError> {
    let parsed = client.session.parse(statement)?.remove(0);
    let prepared = client.session.prepare(&parsed, &[])?;
    let Outcome::CopyIn(mut copy) = client.session.execute(&prepared, &[]).await? else {
        panic!("{statement} takes no rows");
    };
    assert_eq!(copy.options().format, CopyFormat::Csv);
    let names: StringArray = ids.iter().map(|id| Some(format!("n{id}"))).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(names), Arc::new(Int32Array::from(ids))];
    copy.push(RecordBatch::try_new(Arc::new(Schema::new(copy.fields().to_vec())), columns)?)?;
    copy.finish(&mut client.session).await
}

#[tokio::test]
async fn rows_come_in_at_once_and_go_out() {
    let mut client = Client::in_memory();
    client.run("CREATE TABLE t (id int PRIMARY KEY, name text, n int DEFAULT 7)").await;
    let statement = "COPY t (name, id) FROM STDIN WITH (FORMAT csv, HEADER)";
    assert_eq!(copy(&mut client, statement, vec![1, 2, 3]).await.expect("copies"), "COPY 3");
    let error = copy(&mut client, statement, vec![4, 3]).await.expect_err("3 is taken");
    assert_eq!(error.sqlstate.as_str(), "23505");
    assert_eq!(client.sorted("COPY t TO STDOUT").await, "1|n1|7\n2|n2|7\n3|n3|7");
    assert_eq!(client.sorted("COPY (SELECT id FROM t WHERE id > 2) TO STDOUT (FORMAT csv)").await, "3");
    let error = client.fails("COPY t (id, nothing) FROM STDIN").await;
    assert_eq!(error, "42703: column \"nothing\" of relation \"t\" does not exist");
}
