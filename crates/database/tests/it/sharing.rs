//! State that views share: one index for equal join sides, whatever becomes of the views.

use crate::client::Client;

const SOLD: &str = "SELECT i.id, i.shop, i.amount, s.city FROM items i JOIN shops s ON i.shop = s.shop";
const RATED: &str = "SELECT i.id, i.shop, i.amount, r.stars FROM items i JOIN ratings r ON i.shop = r.shop";
const UNRATED: &str = "SELECT s.shop FROM shops s WHERE NOT EXISTS (SELECT 1 FROM ratings r WHERE r.shop = s.shop)";

async fn tables(client: &mut Client) {
    client.run("CREATE TABLE items (id int PRIMARY KEY, shop int, amount int)").await;
    client.run("CREATE TABLE shops (shop int PRIMARY KEY, city text)").await;
    client.run("CREATE TABLE ratings (shop int, stars int)").await;
    client.run("INSERT INTO items SELECT n, n % 7, n * 10 FROM generate_series(1, 500) AS g(n)").await;
    client.run("INSERT INTO items VALUES (1000, NULL, 5)").await;
    client.run("INSERT INTO shops SELECT n, 'city ' || (n % 3) FROM generate_series(0, 5) AS g(n)").await;
    client.run("INSERT INTO ratings VALUES (1, 5), (1, 4), (2, 3), (9, 1), (NULL, 0)").await;
}

/// Rows held by all joins, and bytes.
async fn state(client: &mut Client) -> (i64, i64) {
    let text = "SELECT coalesce(sum(state_keys), 0), coalesce(sum(state_bytes), 0) FROM sys.operators WHERE title LIKE 'Join%'";
    let answer = client.run(text).await;
    let numbers: Vec<i64> = answer.split('|').map(|number| number.parse().expect("a number")).collect();
    (numbers[0], numbers[1])
}

/// Changes every table and takes it back. Stored rows are read back in the background, but before they are changed.
async fn wait_loaded(client: &mut Client) {
    client.run("INSERT INTO items VALUES (-1, 77, 0)").await;
    client.run("INSERT INTO shops VALUES (77, '')").await;
    client.run("INSERT INTO ratings VALUES (77, 0)").await;
    for table in ["items", "shops", "ratings"] {
        client.run(&format!("DELETE FROM {table} WHERE shop = 77")).await;
    }
}

async fn check(client: &mut Client, views: &[(&str, &str)]) {
    for (view, query) in views {
        assert_eq!(client.sorted(&format!("SELECT * FROM {view}")).await, client.sorted(query).await, "{view}");
        assert_eq!(client.run(&format!("CHECK MATERIALIZED VIEW {view}")).await, "", "{view}");
    }
}

async fn change(client: &mut Client, round: i32) {
    client
        .run(&format!("INSERT INTO items SELECT {round} * 1000 + n, n % 9, n FROM generate_series(1, 40) AS g(n)"))
        .await;
    client.run(&format!("UPDATE items SET shop = shop + 1, amount = amount + 1 WHERE id % 5 = {}", round % 5)).await;
    client.run(&format!("DELETE FROM items WHERE id % 11 = {}", round % 11)).await;
    let both = "BEGIN; INSERT INTO items VALUES ({r} * 1000 + 99, 3, 3); UPDATE shops SET city = city || '!' WHERE shop = 3; \
        DELETE FROM ratings WHERE shop = 1 AND stars = 4; INSERT INTO ratings VALUES ({r} % 4, {r}), (1, 4); COMMIT";
    client.run(&both.replace("{r}", &round.to_string())).await;
}

#[tokio::test]
async fn two_views_over_the_same_key_keep_one_index() {
    let mut client = Client::in_memory();
    tables(&mut client).await;
    client.run(&format!("CREATE MATERIALIZED VIEW sold AS {SOLD}")).await;
    let (alone, alone_bytes) = state(&mut client).await;
    assert_eq!(alone, 500 + 6);
    client.run(&format!("CREATE MATERIALIZED VIEW rated AS {RATED}")).await;
    let (both, both_bytes) = state(&mut client).await;
    // The ratings came, but not the items a second time.
    assert_eq!(both, alone + 4);
    assert!(both_bytes < alone_bytes * 3 / 2, "{alone_bytes} bytes became {both_bytes}");
    let shown = client.run("EXPLAIN MATERIALIZED VIEW rated").await;
    assert!(shown.contains("left index shared with sold"), "{shown}");
    for round in 1..6 {
        change(&mut client, round).await;
        check(&mut client, &[("sold", SOLD), ("rated", RATED)]).await;
    }
}

#[tokio::test]
async fn a_view_that_goes_leaves_its_index_to_the_others() {
    for first in ["sold", "rated"] {
        let mut client = Client::in_memory();
        tables(&mut client).await;
        client.run(&format!("CREATE MATERIALIZED VIEW sold AS {SOLD}")).await;
        client.run(&format!("CREATE MATERIALIZED VIEW rated AS {RATED}")).await;
        change(&mut client, 1).await;
        client.run(&format!("DROP MATERIALIZED VIEW {first}")).await;
        let (left, query) = if first == "sold" { ("rated", RATED) } else { ("sold", SOLD) };
        change(&mut client, 2).await;
        check(&mut client, &[(left, query)]).await;
        // And is shared again with one that comes.
        client.run(&format!("CREATE MATERIALIZED VIEW third AS {RATED}")).await;
        client.run(&format!("CREATE MATERIALIZED VIEW none AS {UNRATED}")).await;
        let shown = client.run("EXPLAIN MATERIALIZED VIEW third").await;
        assert!(shown.contains(&format!("index shared with {left}")), "{shown}");
        for round in 3..6 {
            change(&mut client, round).await;
            check(&mut client, &[(left, query), ("third", RATED), ("none", UNRATED)]).await;
        }
    }
}

#[tokio::test]
async fn a_shared_index_survives_a_crash_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut client = Client::on_disk(directory.path());
    tables(&mut client).await;
    client.run(&format!("CREATE MATERIALIZED VIEW sold AS {SOLD}")).await;
    client.run(&format!("CREATE MATERIALIZED VIEW rated AS {RATED}")).await;
    let mut views = vec![("sold", SOLD), ("rated", RATED)];
    for round in 1..7 {
        change(&mut client, round).await;
        if round % 2 == 0 {
            client.run("CHECKPOINT").await;
            change(&mut client, round + 10).await;
        }
        let before = state(&mut client).await.0;
        drop(client);
        client = Client::on_disk(directory.path());
        wait_loaded(&mut client).await;
        assert_eq!(state(&mut client).await.0, before, "round {round}");
        check(&mut client, &views).await;
        if round == 4 {
            client.run("DROP MATERIALIZED VIEW sold").await;
            views.remove(0);
            client.run(&format!("CREATE MATERIALIZED VIEW again AS {SOLD}")).await;
            views.push(("again", SOLD));
        }
    }
    change(&mut client, 30).await;
    check(&mut client, &views).await;
}
