//! The HTML report in a real Chromium: that it draws what it should, at the widths of a screen and
//! of a telephone, that nothing overlaps or is cut off, that it asks for nothing from outside, and
//! that what a hostile server said stays text.

mod sample;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use load_test::report::{ClosedReason, FaultRow, GroupReport, Report, SloRow, Verdict};
use sample::Recipe;
use serde::Deserialize;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Of one look at a page.
const DEADLINE: Duration = Duration::from_secs(60);

/// What the script that the tests put into a copy of the page finds.
#[derive(Deserialize)]
struct Found {
    width: f64,
    /// Of everything, whether it fits or not.
    scroll_width: f64,
    requests: usize,
    owned: bool,
    /// Each section with the drawings in it that have an extent.
    charts: Vec<(String, usize)>,
    /// Words that cover others, or are cut off.
    collisions: Vec<String>,
    /// Of the page, from 0 to 255.
    background: Vec<f64>,
}

const SCRIPT: &str = r#"<script>
const box = (element) => element.getBoundingClientRect();
const drawn = (path) => { const b = box(path); return b.width + b.height > 1; };
const sections = [...document.querySelectorAll('section')];
const words = [...document.querySelectorAll('.plot .x span, .plot .y span, .legend > *, ' +
  '.shape > span, h1, h2, h3, .value, .note, dt, dd, caption')].filter(drawn);
const collisions = [];
for (const [index, one] of words.entries()) {
  const a = box(one);
  // What stands in a table that is too wide can be scrolled to.
  const is_out = a.left < -0.5 || a.right > innerWidth + 0.5;
  if (is_out && !one.closest('.scroll')) collisions.push('cut off: ' + one.textContent);
  for (const other of words.slice(index + 1)) {
    const b = box(other);
    const x = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const y = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (x > 1 && y > 2) collisions.push(one.textContent + ' and ' + other.textContent);
  }
}
const found = {
  width: innerWidth,
  scroll_width: document.documentElement.scrollWidth,
  requests: performance.getEntriesByType('resource').length,
  owned: Boolean(window.owned),
  charts: sections.map((section) => [section.id,
    [...section.querySelectorAll('svg .area, svg .line, svg .heat path')].filter(drawn).length]),
  collisions,
  background: getComputedStyle(document.body).backgroundColor.match(/[\d.]+/g).map(Number),
};
const bytes = new TextEncoder().encode(JSON.stringify(found));
const seen = parent.document.body.dataset;
seen.found = `${seen.found || ''} ${btoa(String.fromCharCode(...bytes))}`;
</script></body>"#;

/// Ends with its test.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path);
    let program = folders.find_map(|folder| {
        let names = ["chromium", "chromium-browser", "google-chrome"];
        names.into_iter().map(|name| folder.join(name)).find(|program| program.is_file())
    });
    if program.is_none() {
        eprintln!("SKIPPED: there is no Chromium; Debian has it in the package chromium");
    }
    program
}

/// The page as the browser has it once it is loaded.
fn dom(chromium: &Path, page: &str, name: &str, options: &[&str]) -> String {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("html-{name}"));
    std::fs::create_dir_all(&folder).expect("a folder for the test");
    let file = folder.join("report.html");
    std::fs::write(&file, page).expect("written");
    let mut command = Command::new(chromium);
    // The sandbox wants privileges that a container has not; the page is ours.
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]);
    command.args(["--disable-background-networking", "--disable-component-update"]);
    command.arg(format!("--user-data-dir={}", folder.join("profile").display()));
    command.args(options).arg("--dump-dom").arg(format!("file://{}", file.display()));
    let output = std::fs::File::create(folder.join("dom.html")).expect("created");
    command.stdin(Stdio::null()).stdout(output).stderr(Stdio::null());
    let mut child = Guard(command.spawn().expect("it starts"));
    let deadline = Instant::now() + DEADLINE;
    while child.0.try_wait().expect("it is ours").is_none() {
        assert!(Instant::now() < deadline, "Chromium did not end within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::fs::read_to_string(folder.join("dom.html")).expect("UTF-8")
}

/// A copy of the page in which scripts may run and everything may be asked for.
fn without_policy(page: &str) -> String {
    let (before, rest) = page.split_once("<meta http-equiv").expect("the page has a policy");
    let (_, after) = rest.split_once('>').expect("the tag ends");
    format!("{before}{after}")
}

/// One finding for each frame, or one of the page itself.
fn look(chromium: &Path, page: &str, name: &str, options: &[&str]) -> Vec<Found> {
    let dom = dom(chromium, page, name, options);
    let (_, after) = dom.split_once("data-found=\"").expect("the script has run");
    let found = after.split('"').next().expect("there is a first part").split_whitespace();
    let read = |found: &str| {
        let json = BASE64_STANDARD.decode(found).expect("base64");
        serde_json::from_slice(&json).expect("what the script wrote")
    };
    found.map(read).collect()
}

fn with_script(page: &str) -> String {
    page.replace("</body>", SCRIPT)
}

/// In frames, since a window is never narrower than 500.
fn look_at_widths(chromium: &Path, page: &str, name: &str, widths: &[u32]) -> Vec<Found> {
    let inner = with_script(page).replace('&', "&amp;").replace('"', "&quot;");
    let frame = |width: &u32| {
        let style = format!("border: 0; width: {width}px; height: 900px");
        format!("<iframe style=\"{style}\" srcdoc=\"{inner}\"></iframe>")
    };
    let frames: String = widths.iter().map(frame).collect();
    look(chromium, &format!("<!DOCTYPE html>{frames}"), name, &["--window-size=1300,1000"])
}

/// Answers nothing and counts who asks.
fn listen() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    std::thread::spawn(move || {
        for _ in listener.incoming() {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    (port, asked)
}

/// Everything at once: faults, groups, objectives, a stall, and a server that says `words`.
fn hostile(words: &str) -> Report {
    let mut report = sample::report(&Recipe { stall_at: Some(3), ..Recipe::default() });
    report.verdict = Verdict::Fail;
    (report.audit.lost, report.audit.closed) = (1_234_567, 2);
    report.closed_reasons = vec![ClosedReason { reason: words.into(), count: 2 }];
    report.faults = vec![FaultRow {
        sender: None,
        room: 0,
        receiver: 999_999,
        lost: 1_234_567,
        duplicated: 0,
        reordered: 0,
        corrupted: 0,
        foreign: 0,
    }];
    report.groups = [words, "quiet"]
        .map(|name| GroupReport {
            name: name.into(),
            measured: 100,
            latency_us: report.latency_us,
            broadcast_us: report.broadcast_us,
        })
        .into();
    let slo = |name: &str, held| SloRow { name: name.into(), limit: 5e4, value: Some(8e5), held };
    report.slo = vec![slo("p99", false), slo(words, true)];
    for text in [
        &mut report.command,
        &mut report.scenario,
        &mut report.target,
        &mut report.protocol,
        &mut report.started_at,
        &mut report.machine.kernel,
        &mut report.machine.cpu,
        &mut report.machine.load_test,
        &mut report.machine.pinning.generator,
        &mut report.generator.threads[0].name,
    ] {
        *text = words.into();
    }
    report.machine.server = Some(words.into());
    report.machine.pinning.server = Some(words.into());
    report.void_reasons = vec![words.into()];
    report
}

#[test]
fn chromium_draws_every_chart_and_nothing_collides() {
    let Some(chromium) = chromium() else { return };
    let many = Recipe { seconds: 700, per_second: 40, stall_at: Some(400), ..Recipe::default() };
    let few = Recipe { seconds: 2, per_second: 100, ..Recipe::default() };
    let mut failed = sample::report(&Recipe::default());
    failed.verdict = Verdict::Fail;
    (failed.audit.lost, failed.audit.duplicated, failed.audit.closed) = (1_234_567, 89, 12);
    let reports = [
        ("usual", sample::report(&Recipe { stall_at: Some(17), ..Recipe::default() })),
        ("many", sample::report(&many)),
        ("few", sample::report(&few)),
        ("failed", failed),
    ];
    for (name, report) in reports {
        let page = without_policy(&load_test::html::page(&report));
        let all = look_at_widths(&chromium, &page, name, &[1200, 700, 400]);
        let mut widths: Vec<_> = all.iter().map(|found| found.width).collect();
        widths.sort_by(f64::total_cmp);
        assert_eq!(widths, [400.0, 700.0, 1200.0], "{name}");
        for found in all {
            let name = format!("{name} at {}", found.width);
            assert!(found.scroll_width <= found.width, "{name}: {} do not fit", found.scroll_width);
            assert!(found.collisions.is_empty(), "{name}: {:?}", found.collisions);
            for (section, least) in [("percentiles", 2), ("time", 10), ("broadcast", 12)] {
                let charts = found.charts.iter().find(|(id, _)| id == section);
                assert!(charts.is_some_and(|(_, drawn)| *drawn >= least), "{name}: {charts:?}");
            }
            assert_eq!(found.requests, 0, "{name}");
        }
    }
}

#[test]
fn there_is_a_dark_side() {
    let Some(chromium) = chromium() else { return };
    let page = load_test::html::page(&sample::report(&Recipe::default()));
    let page = with_script(&without_policy(&page));
    let light = look(&chromium, &page, "light", &["--blink-settings=preferredColorScheme=1"]);
    let dark = look(&chromium, &page, "dark", &["--blink-settings=preferredColorScheme=0"]);
    assert!(light[0].background[0] > 200.0 && dark[0].background[0] < 50.0);
}

#[test]
fn what_a_server_said_stays_text_and_nothing_is_asked_for() {
    let Some(chromium) = chromium() else { return };
    let (port, asked) = listen();
    let url = format!("http://127.0.0.1:{port}/x");
    let words = format!(
        "\"'></p></td></style></title></script></svg><script>window.owned = true</script>\
         <img src=\"{url}\" onerror=\"window.owned = true\"><link rel=stylesheet href={url}>\
         <style>body {{ background: url({url}) }}</style>&lt;\u{202e}\0"
    );
    let page = load_test::html::page(&hostile(&words));
    // Whether the policy is there or not.
    dom(&chromium, &page, "hostile", &[]);
    let found = look(&chromium, &with_script(&without_policy(&page)), "hostile-allowed", &[]);
    assert!(!found[0].owned, "a script of the server ran");
    assert_eq!(found[0].requests, 0);
    assert_eq!(asked.load(Ordering::SeqCst), 0, "the page asked for something");

    // The same words in a page that does not escape them: the test would have noticed.
    let found = look(&chromium, &with_script(&format!("<body>{words}</body>")), "control", &[]);
    assert!(found[0].owned && found[0].requests > 0 && asked.load(Ordering::SeqCst) > 0);
}

#[test]
fn a_report_without_anything_has_a_page() {
    let mut report = sample::report(&Recipe { seconds: 0, ..Recipe::default() });
    report.server = None;
    report.generator.threads.clear();
    report.histograms = load_test::report::Histograms::default();
    let page = load_test::html::page(&report);
    assert!(page.contains("not measured") && !page.contains("NaN") && !page.contains("inf"));
}

#[test]
fn a_crowd_that_says_nothing_has_no_empty_charts() {
    let mut report = sample::report(&Recipe { per_second: 0, ..Recipe::default() });
    report.latency_us.count = 0;
    for second in &mut report.timeline {
        (second.deliveries, second.latency_us.count) = (0, 0);
        second.heat.clear();
    }
    let page = load_test::html::page(&report);
    assert!(page.contains("All connected after") && page.contains("Memory a client"));
    assert!(page.contains("CPU, of one core"), "what the server used is drawn");
    for absent in ["Last receiver, p99", "share of deliveries", "Deliveries a second", "\"heat\""] {
        assert!(!page.contains(absent), "{absent}");
    }
}

#[test]
fn options_break_between_them() {
    let mut report = sample::report(&Recipe::default());
    report.command = "load-test --clients 10 --group 'name=a,clients=2'".into();
    let page = load_test::html::page(&report);
    let options = ["load-test", "--clients 10", "--group 'name=a,clients=2'"];
    let spans = options.map(|option| format!("<span class=\"option\">{option}</span>"));
    assert!(page.contains(&spans.join(" ")), "the text is the command's, for who copies it");
}

#[test]
fn histograms_and_numbers_from_anywhere_do_no_harm() {
    let mut report = sample::report(&Recipe { seconds: 3, ..Recipe::default() });
    report.histograms.latency = Some("AAAA".into());
    report.histograms.last = Some("%".into());
    for (second, value) in report.timeline.iter_mut().zip([f64::NAN, -1.0, f64::INFINITY]) {
        second.at_s = value;
        second.heat = vec![(value, u64::MAX), (0.0, 0), (1e300, 1)];
        second.latency_us.p99 = value;
        second.server_cpu_user_s = Some(value);
        second.server_rss_bytes = Some(u64::MAX);
    }
    report.latency_us.max = f64::INFINITY;
    let page = load_test::html::page(&report);
    assert!(page.ends_with("</html>"));
    assert!(!page.contains("d=\"MNaN") && !page.contains("LNaN"));
}
