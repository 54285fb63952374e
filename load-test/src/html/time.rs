//! What happened when: latency as a heat map, and under it, on the same axis, what the server did.

use super::chart::{Plot, Point, area, dashes, polyline, push_rectangle, steps};
use super::part;
use super::scale::{Scale, Tick};
use super::units::{self, Quantity, bytes, clock, duration, joined, many, percent};
use crate::limits::{COLUMNS_MAX, HEAT_BUCKETS_PER_DECADE};
use crate::report::{Report, Second};
use maud::{Markup, html};

/// Colours of the heat map, from few to many: see style.css.
const LEVELS: usize = 8;
/// Columns whose medians are drawn apart rather than as one line.
const DASHES_MAX: usize = 90;

pub(super) fn section(report: &Report) -> Markup {
    let columns = columns(&report.timeline);
    let Some(last) = columns.last() else {
        return html! {};
    };
    let x = Scale::time(last.to_s);
    let mut ticks = x.ticks(|value| (clock(value, last.to_s), ""));
    ticks.iter_mut().skip(1).step_by(2).for_each(|tick| tick.major = false);
    let strips = [
        deliveries(&columns, x),
        cpu(&columns, x),
        memory(&columns, x),
        switches(&columns, x),
        clients(&columns, x),
    ];
    let strips: Vec<_> = strips.into_iter().flatten().collect();
    let was_heard = columns.iter().any(|column| column.deliveries > 0);
    let content = html! {
        figure class="time" {
            @if was_heard || strips.is_empty() { (heat(&columns, x, &ticks, strips.is_empty())) }
            @for (index, strip) in strips.iter().enumerate() {
                (strip.markup(&ticks, index + 1 == strips.len()))
            }
            p class="axis" { "time since the measurement began" }
        }
        (seconds(&columns))
    };
    let each_s = (last.to_s / columns.len() as f64).round();
    let lead = match each_s {
        _ if !was_heard => "Nothing was delivered: what the server used meanwhile.".to_owned(),
        ..=1.0 => {
            "Each column is a second. Colours tell how many deliveries took how long.".to_owned()
        }
        _ => format!(
            "Each column is {each_s} seconds, with the worst of their medians and p99. Colours tell \
             how many deliveries took how long."
        ),
    };
    part("time", "Over time", &lead, content)
}

/// One or several seconds.
#[derive(Clone, Default)]
struct Column {
    from_s: f64,
    to_s: f64,
    deliveries: u64,
    /// p50, p99 and the longest, if anything came.
    latency_us: Option<(f64, f64, f64)>,
    heat: Vec<(f64, u64)>,
    cpu_user_s: Option<f64>,
    cpu_sys_s: Option<f64>,
    own_cpu_s: f64,
    rss_bytes: Option<f64>,
    tcp_bytes: Option<f64>,
    voluntary: Option<f64>,
    involuntary: Option<f64>,
    clients: u32,
}

impl Column {
    fn new(second: &Second, from_s: f64) -> Self {
        let latency = &second.latency_us;
        let float = |count: Option<u64>| count.map(|count| count as f64);
        Self {
            from_s,
            to_s: second.at_s,
            deliveries: second.deliveries,
            latency_us: (latency.count > 0).then_some((latency.p50, latency.p99, latency.max)),
            heat: second.heat.clone(),
            cpu_user_s: second.server_cpu_user_s,
            cpu_sys_s: second.server_cpu_sys_s,
            own_cpu_s: second.generator_cpu_s,
            rss_bytes: float(second.server_rss_bytes),
            tcp_bytes: float(second.tcp_memory_bytes),
            voluntary: float(second.server_voluntary_switches),
            involuntary: float(second.server_involuntary_switches),
            clients: second.clients,
        }
    }

    /// Takes the next one over: sums where it was counted, the last where it was looked at.
    fn extend(&mut self, next: Self) {
        let sum = |a: Option<f64>, b: Option<f64>| Some(a? + b?);
        self.to_s = next.to_s;
        self.deliveries = self.deliveries.saturating_add(next.deliveries);
        self.latency_us = match (self.latency_us, next.latency_us) {
            (Some(a), Some(b)) => Some((a.0.max(b.0), a.1.max(b.1), a.2.max(b.2))),
            (a, b) => a.or(b),
        };
        for (upper_us, count) in next.heat {
            match self.heat.binary_search_by(|(other, _)| other.total_cmp(&upper_us)) {
                Ok(index) => self.heat[index].1 = self.heat[index].1.saturating_add(count),
                Err(index) => self.heat.insert(index, (upper_us, count)),
            }
        }
        self.cpu_user_s = sum(self.cpu_user_s, next.cpu_user_s);
        self.cpu_sys_s = sum(self.cpu_sys_s, next.cpu_sys_s);
        self.own_cpu_s += next.own_cpu_s;
        self.voluntary = sum(self.voluntary, next.voluntary);
        self.involuntary = sum(self.involuntary, next.involuntary);
        (self.rss_bytes, self.tcp_bytes) = (next.rss_bytes, next.tcp_bytes);
        self.clients = next.clients;
    }

    fn width_s(&self) -> f64 {
        (self.to_s - self.from_s).max(1e-3)
    }

    fn cpu(&self) -> Option<f64> {
        Some((self.cpu_user_s? + self.cpu_sys_s?) / self.width_s())
    }
}

/// The seconds, some of them put together if there are more than can be told apart.
fn columns(timeline: &[Second]) -> Vec<Column> {
    let each = timeline.len().div_ceil(COLUMNS_MAX).max(1);
    let mut columns: Vec<Column> = Vec::with_capacity(timeline.len().min(COLUMNS_MAX));
    let mut from_s = 0.0;
    for (index, second) in timeline.iter().enumerate() {
        let column = Column::new(second, from_s);
        from_s = second.at_s;
        match columns.last_mut() {
            Some(last) if index % each > 0 => last.extend(column),
            _ => columns.push(column),
        }
    }
    columns
}

/// A value for each column, as the line of a step chart; gaps where there is none.
fn line(columns: &[Column], x: Scale, y: Scale, value: impl Fn(&Column) -> Option<f64>) -> String {
    let runs = columns.split(|column| value(column).is_none());
    let run =
        |run: &[Column]| {
            let points = run.iter().filter_map(|column| Some((column, value(column)?)));
            polyline(&steps(points.map(|(column, value)| {
                (x.place(column.from_s), x.place(column.to_s), y.place(value))
            })))
        };
    runs.map(run).collect()
}

/// The same, filled down to another.
fn filled(
    columns: &[Column],
    x: Scale,
    y: Scale,
    upper: impl Fn(&Column) -> f64,
    lower: impl Fn(&Column) -> f64,
) -> String {
    let side = |value: &dyn Fn(&Column) -> f64| -> Vec<Point> {
        let place = |column: &Column| {
            (x.place(column.from_s), x.place(column.to_s), y.place(value(column)))
        };
        steps(columns.iter().map(place))
    };
    area(&side(&upper), &side(&lower))
}

fn heat(columns: &[Column], x: Scale, ticks: &[Tick], is_alone: bool) -> Markup {
    let buckets = || columns.iter().flat_map(|column| &column.heat);
    let step = 10f64.powf(1.0 / HEAT_BUCKETS_PER_DECADE);
    let y = Scale::log(buckets().flat_map(|(upper_us, _)| [*upper_us, upper_us / step]));
    let most = buckets().map(|(_, count)| *count).max().unwrap_or(0);
    let mut levels = vec![String::new(); LEVELS];
    for column in columns {
        for (upper_us, count) in column.heat.iter().filter(|(_, count)| *count > 0) {
            let lower = (x.place(column.from_s), y.place(upper_us / step));
            let upper = (x.place(column.to_s), y.place(*upper_us));
            push_rectangle(&mut levels[level(*count, most)], lower, upper);
        }
    }
    // Where columns are narrow, dashes would be dots.
    let joins = columns.len() > DASHES_MAX;
    let of = |which: fn((f64, f64, f64)) -> f64| {
        if joins {
            return line(columns, x, y, |column| column.latency_us.map(which));
        }
        dashes(columns.iter().filter_map(|column| {
            let value = which(column.latency_us?);
            Some((x.place(column.from_s), x.place(column.to_s), y.place(value)))
        }))
    };
    let (median, p99) = (of(|latency| latency.0), of(|latency| latency.1));
    let end_s = columns.last().map_or(0.0, |column| column.to_s);
    let drawing = html! {
        g class="heat" {
            @for (level, path) in levels.iter().enumerate() {
                @if !path.is_empty() { path class={ "h" (level) } d=(path) {} }
            }
        }
        path class="line casing" d=(p99) {}
        path class="line s6" d=(p99) {}
        path class="line casing" d=(median) {}
        path class="line s5" d=(median) {}
        g class="hits" { @for column in columns { (hit(column, x, end_s)) } }
    };
    let plot = Plot { class: "tall", x: ticks, y: &y.ticks(duration), drawing, x_words: is_alone };
    html! {
        div class="strip" {
            p class="legend" {
                b { "Latency" }
                span class="key cased s6" { "p99" }
                span class="key cased s5" { "median" }
                span class="ramp" {
                    "1"
                    span class="colours" {
                        @for level in 0..LEVELS { i class={ "h" (level) } {} }
                    }
                    (units::count(most)) " deliveries"
                }
            }
            (plot.markup())
        }
    }
}

/// From 0 for one to the last for the most, by their logarithms.
fn level(count: u64, most: u64) -> usize {
    let share = (count as f64).ln() / (most as f64).ln().max(1e-9);
    (1..LEVELS).filter(|level| share * LEVELS as f64 >= *level as f64).count()
}

/// What a pointer that rests on a column is told.
fn hit(column: &Column, x: Scale, end_s: f64) -> Markup {
    let (left, right) = (x.place(column.from_s) * 1000.0, x.place(column.to_s) * 1000.0);
    let mut words = vec![
        format!("{} to {}", clock(column.from_s, end_s), clock(column.to_s, end_s)),
        format!("{} deliveries", units::count(column.deliveries)),
    ];
    if let Some((median, p99, max)) = column.latency_us {
        for (name, value) in [("median", median), ("p99", p99), ("max", max)] {
            words.push(format!("{name} {}", joined(duration(value))));
        }
    }
    if let Some(cpu) = column.cpu() {
        words.push(format!("server CPU {} of a core", joined(percent(cpu))));
    }
    html! {
        rect x=(format!("{left:.1}")) width=(format!("{:.1}", right - left)) y="0" height="1000" {
            title { (words.join("\n")) }
        }
    }
}

/// A low chart under the heat map.
struct Strip {
    name: &'static str,
    /// Class and name of each line or area.
    keys: Vec<(&'static str, &'static str)>,
    y: Scale,
    words: fn(f64) -> Quantity,
    drawing: Markup,
}

impl Strip {
    fn markup(&self, ticks: &[Tick], is_last: bool) -> Markup {
        let y = self.y.ticks(self.words);
        let drawing = self.drawing.clone();
        let plot = Plot { class: "low", x: ticks, y: &y, drawing, x_words: is_last };
        html! {
            div class="strip" {
                p class="legend" {
                    b { (self.name) }
                    @for (class, name) in &self.keys { span class={ "key " (class) } { (name) } }
                }
                (plot.markup())
            }
        }
    }
}

fn greatest(columns: &[Column], value: impl Fn(&Column) -> Option<f64>) -> Option<f64> {
    columns.iter().filter_map(value).reduce(f64::max)
}

fn deliveries(columns: &[Column], x: Scale) -> Option<Strip> {
    let rate = |column: &Column| column.deliveries as f64 / column.width_s();
    let most = greatest(columns, |column| Some(rate(column))).filter(|most| *most > 0.0)?;
    let y = Scale::linear(most, 2.0);
    let drawing = html! {
        path class="area s1" d=(filled(columns, x, y, rate, |_| 0.0)) {}
        path class="line s1" d=(line(columns, x, y, |column| Some(rate(column)))) {}
    };
    Some(Strip { name: "Deliveries a second", keys: Vec::new(), y, words: many, drawing })
}

fn cpu(columns: &[Column], x: Scale) -> Option<Strip> {
    let own = |column: &Column| Some(column.own_cpu_s / column.width_s());
    let system = |column: &Column| column.cpu_sys_s.unwrap_or(0.0) / column.width_s();
    let all = |column: &Column| column.cpu().unwrap_or(0.0);
    let highest = greatest(columns, |column| Some(all(column).max(own(column)?)))?;
    let y = Scale::linear(highest, 2.0);
    let has_server = greatest(columns, Column::cpu).is_some();
    let mut keys = vec![("s7", "generator")];
    if has_server {
        keys.splice(0..0, [("area s3", "server, kernel"), ("area s3 pale", "server, own code")]);
    }
    let drawing = html! {
        @if has_server {
            path class="area s3" d=(filled(columns, x, y, system, |_| 0.0)) {}
            path class="area s3 pale" d=(filled(columns, x, y, all, system)) {}
        }
        path class="line s7" d=(line(columns, x, y, own)) {}
    };
    Some(Strip { name: "CPU, of one core", keys, y, words: percent, drawing })
}

fn memory(columns: &[Column], x: Scale) -> Option<Strip> {
    let (rss, tcp) = (|it: &Column| it.rss_bytes, |it: &Column| it.tcp_bytes);
    let (most_rss, most_tcp) = (greatest(columns, rss), greatest(columns, tcp));
    let y = Scale::linear(most_rss.into_iter().chain(most_tcp).reduce(f64::max)?, 2.0);
    let keys = [
        most_rss.map(|_| ("s1 strong", "server, resident")),
        most_tcp.map(|_| ("s2", "socket buffers of the machine")),
    ];
    let drawing = html! {
        path class="line s1 strong" d=(line(columns, x, y, rss)) {}
        path class="line s2" d=(line(columns, x, y, tcp)) {}
    };
    let keys = keys.into_iter().flatten().collect();
    Some(Strip { name: "Memory", keys, y, words: bytes, drawing })
}

fn switches(columns: &[Column], x: Scale) -> Option<Strip> {
    let waits = |column: &Column| Some(column.voluntary? / column.width_s());
    let preempted = |column: &Column| Some(column.involuntary? / column.width_s());
    let most = |column: &Column| Some(waits(column)?.max(preempted(column)?));
    let y = Scale::linear(greatest(columns, most)?, 2.0);
    let keys = vec![("s1", "to wait"), ("s2", "core taken away")];
    let drawing = html! {
        path class="line s1" d=(line(columns, x, y, waits)) {}
        path class="line s2" d=(line(columns, x, y, preempted)) {}
    };
    Some(Strip { name: "Server's context switches a second", keys, y, words: many, drawing })
}

/// Only where their number changes.
fn clients(columns: &[Column], x: Scale) -> Option<Strip> {
    let value = |column: &Column| Some(f64::from(column.clients));
    let first = columns.first()?.clients;
    if columns.iter().all(|column| column.clients == first) {
        return None;
    }
    let y = Scale::linear(greatest(columns, value)?, 2.0);
    let drawing = html! { path class="line s1" d=(line(columns, x, y, value)) {} };
    Some(Strip { name: "Clients", keys: Vec::new(), y, words: many, drawing })
}

/// The same as numbers, for readers of screens and for copying.
fn seconds(columns: &[Column]) -> Markup {
    let end_s = columns.last().map_or(0.0, |column| column.to_s);
    let maybe = |quantity: Option<Quantity>| quantity.map_or_else(|| "–".into(), joined);
    let of = |value: Option<f64>| maybe(value.map(duration));
    html! {
        details {
            summary { "The same as a table" }
            div class="scroll" {
                table class="figures" {
                    thead {
                        tr {
                            @for name in [
                                "until", "deliveries", "p50", "p99", "max", "server CPU", "resident",
                            ] {
                                th scope="col" { (name) }
                            }
                        }
                    }
                    tbody {
                        @for column in columns {
                            tr {
                                th scope="row" { (clock(column.to_s, end_s)) }
                                td { (units::count(column.deliveries)) }
                                td { (of(column.latency_us.map(|it| it.0))) }
                                td { (of(column.latency_us.map(|it| it.1))) }
                                td { (of(column.latency_us.map(|it| it.2))) }
                                td { (maybe(column.cpu().map(percent))) }
                                td { (maybe(column.rss_bytes.map(bytes))) }
                            }
                        }
                    }
                }
            }
        }
    }
}
