//! The binary itself: what it prints, how it ends.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A server that has not begun or ended after this time is stuck.
const PATIENCE: Duration = Duration::from_secs(20);

fn keyfold(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyfold"));
    command.args(arguments);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("KEYFOLD_")) {
        command.env_remove(name);
    }
    command
}

fn output(arguments: &[&str]) -> Output {
    keyfold(arguments).output().expect("the binary runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn free_port() -> u16 {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("an address").port()
}

fn wait_for_port(port: u16, child: &mut Child) {
    let begun = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begun.elapsed() < PATIENCE, "the server does not listen");
        assert!(child.try_wait().expect("a process").is_none(), "the server ended");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits for the end of a process; kills it if that does not come.
fn ended(mut child: Child) -> Output {
    let begun = Instant::now();
    while child.try_wait().expect("a process").is_none() {
        if begun.elapsed() > PATIENCE {
            child.kill().expect("a process");
            panic!("the process did not end");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().expect("what it said")
}

/// Waits until the server's log says that clients may come, which is after its first statements.
pub fn wait_until_ready(child: &mut Child) {
    let log = child.stderr.take().expect("its log");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(log)).map_while(Result::ok);
    assert!(lines.any(|line| line.contains("ready")), "the server ended");
    // It goes on writing.
    std::thread::spawn(move || lines.count());
}

fn terminate(child: &mut Child) -> Option<i32> {
    end(child, "-TERM")
}

fn end(child: &mut Child, signal: &str) -> Option<i32> {
    let status = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill runs");
    assert!(status.success());
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a process") {
            return status.code();
        }
        assert!(begun.elapsed() < PATIENCE, "the server does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn serve(directory: &Path, port: u16) -> Command {
    let listen = format!("127.0.0.1:{port}");
    let mut command = keyfold(&["serve", "--listen", &listen, "--data-dir"]);
    command.arg(directory).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// A process that does not outlive its test.
pub struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_version() {
    let output = output(&["--version"]);
    assert!(output.status.success());
    assert!(stdout(&output).starts_with("keyfold "), "{}", stdout(&output));
}

#[test]
fn results_in_three_formats() {
    let sql = "SELECT 1 AS a, 'x' AS b";
    assert_eq!(stdout(&output(&["run", "-c", sql, "--format", "csv"])), "a,b\n1,x\n");
    assert_eq!(stdout(&output(&["run", "-c", sql, "--format", "json"])), "{\"a\":1,\"b\":\"x\"}\n");
    let table = output(&["run", "-c", sql]);
    assert!(table.status.success());
    assert!(stdout(&table).contains("| 1 | x |"), "{}", stdout(&table));
}

#[test]
fn a_failing_statement_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("script.sql");
    std::fs::write(&file, "CREATE TABLE t (a int);\nINSERT INTO t VALUES (1);\n  SELECT nowhere FROM t;\n")
        .expect("a file");
    let failed = output(&["run", &file.to_string_lossy()]);
    assert_eq!(failed.status.code(), Some(1));
    let told = stderr(&failed);
    assert!(told.contains("line 3, column 10") && told.contains("42703") && told.contains("SELECT nowhere"), "{told}");
    assert_eq!(output(&["run"]).status.code(), Some(2));
    assert!(!output(&["run", "nosuchfile.sql"]).status.success());
}

#[test]
fn a_syntax_error_is_shown_in_its_line() {
    let failed = output(&["run", "-c", "SELECT 1;\n  SELECT 2 FROM\n    WHERE x; SELECT 3"]);
    let told = stderr(&failed);
    assert!(told.contains("line 3, column 5: 42601: syntax error at or near \"WHERE\""), "{told}");
    assert!(told.ends_with("  in:     WHERE x; SELECT 3\n          ^\n"), "{told}");
}

#[test]
fn a_load_is_waited_for() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("n.csv");
    std::fs::write(&file, (0..200_000).map(|n| format!("{n}\n")).collect::<String>()).expect("a file");
    let script = |options: &str| {
        format!(
            "CREATE SOURCE s (n bigint) WITH (connector = 'file', path = '{}'{options}) FORMAT PLAIN ENCODE CSV;
             CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n, sum(n) FROM s;",
            file.display()
        )
    };
    let data = directory.path().join("data").display().to_string();
    let run = |sql: &str| output(&["run", "--format", "csv", "--data-dir", &data, "-c", sql]);
    let loaded = run(&format!("{} SELECT * FROM v; DROP SOURCE s CASCADE", script("")));
    assert_eq!(stdout(&loaded), "n,sum\n200000,19999900000\n", "{}", stderr(&loaded));
    // At the end, too.
    assert!(run(&script("")).status.success());
    let kept = run("SELECT state, rows FROM sys.sources; SELECT n FROM v; DROP SOURCE s CASCADE");
    assert!(stdout(&kept).ends_with("n\n200000\n"), "{}", stdout(&kept));
    // What has no end, or comes as a stream does, is not.
    for options in [", follow = true", ", rate = 2"] {
        let streamed = run(&format!("{} SELECT n < 200000 AS n FROM v; DROP SOURCE s CASCADE", script(options)));
        assert_eq!(streamed.status.code(), Some(0), "{}", stderr(&streamed));
    }
    // What can't be read is said.
    let script = script("").replace("CSV", "PARQUET");
    std::fs::copy("../../examples/flights/airlines.parquet", &file).expect("a file");
    let failed = run(&script.replace("n bigint", "carrier bigint").replace("sum(n)", "sum(carrier)"));
    assert_eq!(failed.status.code(), Some(1));
    assert!(stderr(&failed).contains("source \"s\" cannot be read: "), "{}", stderr(&failed));
}

#[test]
fn settings_that_cannot_be() {
    let cases: [(&[&str], &str); 4] = [
        (&["serve", "--listen", "0.0.0.0:0"], "no password is set"),
        (&["serve", "--in-memory", "--data-dir", "x"], "exclude"),
        (&["serve", "--workers", "0"], "--workers"),
        (&["serve", "--config", "nosuchfile.toml"], "cannot read nosuchfile.toml"),
    ];
    for (arguments, expected) in cases {
        let failed = output(arguments);
        assert!(!failed.status.success(), "{arguments:?}");
        assert!(stderr(&failed).contains(expected), "{}", stderr(&failed));
    }
    let variables = [
        ("KEYFOLD_IN_MEMORY", "maybe", "neither true nor false"),
        ("KEYFOLD_WORKERS", "0", "not a number from 1 to 256"),
        ("KEYFOLD_CHECKPOINT_INTERVAL", "2 parsecs", "not a duration: write for example 500ms or 2s"),
        ("KEYFOLD_MEMORY_LIMIT", "all", "does not begin with a number"),
        ("KEYFOLD_LOG_FORMAT", "xml", "neither text nor json"),
        ("KEYFOLD_LISTEN", "5477", "no address to listen on"),
    ];
    for (name, value, wanted) in variables {
        let failed = keyfold(&["serve", "--in-memory"]).env(name, value).output().expect("it runs");
        let told = stderr(&failed);
        assert!(told.starts_with(&format!("keyfold: {name}: \"{value}\" ")) && told.contains(wanted), "{told}");
        assert_eq!((failed.status.code(), told.lines().count()), (Some(1), 1), "{told}");
    }
    let unknown = keyfold(&["serve", "--in-memory"]).env("KEYFOLD_LISTEN", "0.0.0.0:0").output().expect("it runs");
    assert!(stderr(&unknown).contains("no password is set"), "{}", stderr(&unknown));
}

#[test]
fn a_directory_has_one_server_and_outlives_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let init = directory.path().join("init.sql");
    std::fs::write(&init, "CREATE TABLE t (a int); INSERT INTO t VALUES (7);").expect("a file");
    let data = directory.path().join("data");
    let port = free_port();
    let mut first =
        Killed(serve(&data, port).arg("--init").arg(&init).stderr(Stdio::null()).spawn().expect("a server"));
    wait_for_port(port, &mut first.0);
    let second = ended(serve(&data, free_port()).spawn().expect("a process"));
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).contains("another"), "{}", stderr(&second));
    assert_eq!(terminate(&mut first.0), Some(0));
    let kept = output(&["run", "--format", "csv", "--data-dir", &data.to_string_lossy(), "-c", "SELECT a FROM t"]);
    assert_eq!(stdout(&kept), "a\n7\n", "{}", stderr(&kept));
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("keyfold.toml");
    let ports = [free_port(), free_port(), free_port()];
    std::fs::write(&file, format!("in-memory = true\nlisten = '127.0.0.1:{}'\n", ports[0])).expect("a file");
    for (count, port) in ports.iter().enumerate() {
        let mut command = keyfold(&["serve", "--config"]);
        command.arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        if count >= 1 {
            command.env("KEYFOLD_LISTEN", format!("127.0.0.1:{}", ports[1]));
        }
        if count >= 2 {
            command.args(["--listen", &format!("127.0.0.1:{}", ports[2])]);
        }
        let mut server = Killed(command.spawn().expect("a server"));
        wait_for_port(*port, &mut server.0);
        assert_eq!(terminate(&mut server.0), Some(0));
    }
}

/// What the journal has is in the checkpoint by the end: without the journal nothing is missing.
#[test]
fn sigterm_takes_a_final_checkpoint() {
    for (ending, expected) in [("-TERM", "a\n7\n"), ("-KILL", "a\n")] {
        let directory = tempfile::tempdir().expect("a directory");
        let init = directory.path().join("init.sql");
        std::fs::write(&init, "CREATE TABLE t (a int); INSERT INTO t VALUES (7);").expect("a file");
        let data = directory.path().join("data");
        let port = free_port();
        let mut command = serve(&data, port);
        command.args(["--checkpoint-interval", "1h", "--init"]).arg(&init);
        let mut server = Killed(command.spawn().expect("a server"));
        wait_until_ready(&mut server.0);
        end(&mut server.0, ending);
        std::fs::remove_dir_all(data.join("5/journal")).expect("there is a journal");
        let kept = output(&["run", "--format", "csv", "--data-dir", &data.to_string_lossy(), "-c", "SELECT a FROM t"]);
        assert_eq!(stdout(&kept), expected, "{ending}: {}", stderr(&kept));
    }
}
