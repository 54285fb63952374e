//! The report as one HTML file: no script, nothing from elsewhere, and a policy in it that forbids
//! both. Whatever a server or a command line said passes through maud, which escapes it.
//!
//! ```text
//! mod ─▶ head, percentiles, time, broadcast, generator, origin ─▶ chart, table ─▶ scale, units
//! ```

mod broadcast;
mod chart;
mod generator;
mod head;
mod origin;
mod percentiles;
mod scale;
mod soak;
mod table;
mod time;
mod units;

use crate::report::Report;
use crate::soak::Soak;
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// Nothing is loaded, nothing is run; the styles are in the page.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
                      form-action 'none'";

/// The whole file.
pub fn page(report: &Report) -> String {
    let content = html! {
        (head::section(report))
        main {
            (percentiles::section(report))
            (time::section(report))
            (broadcast::section(report))
            (generator::section(report))
            (table::faults(report))
            (origin::section(report))
        }
    };
    document(&head::title(report), &content)
}

/// The same for a soak.
pub(crate) fn soak_page(soak: &Soak) -> String {
    document(&soak::title(soak), &soak::content(soak))
}

fn document(title: &str, content: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title { (title) }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body { (content) }
        }
    };
    page.into_string()
}

/// A line of options that breaks between them, not at the dashes of one.
fn options(text: &str) -> Markup {
    let mut parts = text.split(" --");
    let first = parts.next().unwrap_or_default();
    html! {
        span class="option" { (first) }
        @for part in parts { " " span class="option" { "--" (part) } }
    }
}

/// A part of the page with its heading and what a reader must know to read it.
fn part(id: &str, heading: &str, lead: &str, content: Markup) -> Markup {
    html! {
        section id=(id) {
            h2 { (heading) }
            p class="lead" { (lead) }
            (content)
        }
    }
}
