//! The admin endpoint and what it counts.

use crate::harness::{Answer, Server, number};

fn get(server: &Server, path: &str) -> Answer {
    server.ask(&format!("GET {path} HTTP/1.1\r\nHost: chatd\r\n\r\n"))
}

#[test]
fn each_path_has_its_answer() {
    let server = Server::start("--admin 127.0.0.1:0");
    server.connect();
    for (request, status, body) in [
        ("GET /healthz", "200 OK", "ok\n"),
        ("GET /readyz", "200 OK", "ok\n"),
        ("GET /readyz?verbose", "200 OK", "ok\n"),
        ("GET /", "404 Not Found", "there are /healthz, /readyz and /metrics\n"),
        ("POST /nothing", "404 Not Found", "there are /healthz, /readyz and /metrics\n"),
        ("POST /metrics", "405 Method Not Allowed", "only GET is answered\n"),
        ("DELETE /healthz", "405 Method Not Allowed", "only GET is answered\n"),
    ] {
        let answer = server.ask(&format!("{request} HTTP/1.1\r\nHost: chatd\r\n\r\n"));
        let head = answer.head.lines().next().unwrap_or_default();
        assert_eq!((head, &*answer.body), (&*format!("HTTP/1.1 {status}"), body), "{request}");
    }
}

#[test]
fn metrics_are_open_metrics() {
    let server = Server::start("--admin 127.0.0.1:0");
    let Answer { head, body } = get(&server, "/metrics");
    let kind = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(head.lines().any(|line| line.eq_ignore_ascii_case(kind)), "{head}");
    assert!(body.ends_with("\n# EOF\n"), "{body}");
    for line in body.lines().filter(|line| !line.starts_with('#')) {
        let (_, value) = line.rsplit_once(' ').expect("a name and a value");
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}

#[test]
fn what_people_do_is_counted() {
    let server = Server::start("--admin 127.0.0.1:0 --workers 2");
    let [mut plato, mut solon, mut zeno] = server.lobby(["plato", "solon", "zeno"]);
    plato.say("one", &mut [&mut solon, &mut zeno]);
    plato.say("two", &mut [&mut solon, &mut zeno]);
    plato.send("/join garden\n");
    plato.expect_line("You are alone in garden");
    for reader in [&mut solon, &mut zeno] {
        reader.expect_line("Client left plato");
    }
    let received = ["/nick plato", "/nick solon", "/nick zeno", "one", "two", "/join garden"];
    let bytes = received.iter().map(|line| line.len() as u64 + 1).sum();
    let (greetings, replies, arrivals, lines, departures) = (3, 4, 2 * (1 + 2), 2 * 2, 2);
    let deliveries = greetings + replies + arrivals + lines + departures;
    for (name, expected) in [
        ("chatd_accepted_total", 3),
        ("chatd_connections", 3),
        ("chatd_clients", 3),
        ("chatd_rooms", 2),
        ("chatd_workers", 2),
        ("chatd_lines_in_total", 6),
        ("chatd_bytes_in_total", bytes),
        ("chatd_deliveries_total", deliveries),
        ("chatd_feed_refusals_total", 0),
        ("chatd_stale_completions_total", 0),
    ] {
        // What a client has seen may not have been counted for a moment still.
        server.wait_for_metric(name, |count| count == expected);
    }
}

#[test]
fn all_who_were_accepted_are_here_or_have_left_for_a_reason() {
    let server = Server::start("--admin 127.0.0.1:0 --max-clients 2 --workers 2");
    let [mut plato] = server.lobby(["plato"]);
    let left = |plato: &mut crate::harness::Client, name: &str| {
        plato.expect_line(format!("Client joined {name}"));
        plato.expect_line(format!("Client left {name}"));
        server.wait_for_metric("chatd_connections", |count| count == 1);
    };
    let endings: [(&str, &[u8]); 4] = [
        ("eof", b""),
        ("quit", b"/quit\n"),
        ("endless_line", &[b'x'; 4097]),
        ("foreign", b"SSH-2."),
    ];
    for (_, bytes) in endings {
        let mut client = server.connect();
        client.send(bytes);
        let name = client.name.clone();
        if bytes.is_empty() {
            client.end_sending();
        }
        client.read_to_end();
        left(&mut plato, &name);
    }
    let client = server.connect();
    let name = client.name.clone();
    client.reset();
    left(&mut plato, &name);
    let second = server.connect();
    plato.expect_line(format!("Client joined {}", second.name));
    server.connect_unread().read_to_end();

    server.wait_for_metric("chatd_connections", |count| count == 2);
    server.wait_for_metric("chatd_closed_total{reason=\"full\"}", |count| count == 1);
    let metrics = server.metrics();
    for reason in endings.map(|(reason, _)| reason).iter().chain(&["reset", "full"]) {
        let name = format!("chatd_closed_total{{reason=\"{reason}\"}}");
        assert_eq!(number(&metrics, &name), 1, "{reason}");
    }
    let closed = metrics.lines().filter_map(|line| {
        line.strip_prefix("chatd_closed_total{")?.split_once(' ')?.1.parse::<u64>().ok()
    });
    let here = number(&metrics, "chatd_connections");
    assert_eq!(number(&metrics, "chatd_accepted_total"), here + closed.sum::<u64>(), "{metrics}");
}

#[test]
fn without_the_option_there_is_no_endpoint() {
    let server = Server::start("");
    server.connect();
    let ended = server.stop();
    assert!(!ended.log.contains("admin"), "{}", ended.log);
}
