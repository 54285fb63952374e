//! A plot: lines and areas as SVG that stretches with the page, and labels as text beside it, so
//! that letters keep their size on every screen.

use super::scale::Tick;
use maud::{Markup, html};
use std::fmt::Write;

/// The sides of the drawing, in units of its own.
const SIDE: f64 = 1000.0;

/// Both from 0 to 1, from the lower left corner.
pub(super) type Point = (f64, f64);

/// A drawing with its axes.
pub(super) struct Plot<'a> {
    /// Which also sets its height: see style.css.
    pub(super) class: &'a str,
    pub(super) x: &'a [Tick],
    pub(super) y: &'a [Tick],
    /// SVG.
    pub(super) drawing: Markup,
    /// Whether the words of the x axis stand below.
    pub(super) x_words: bool,
}

impl Plot<'_> {
    /// What it shows stands in a table elsewhere, so readers of screens are not told.
    pub(super) fn markup(&self) -> Markup {
        html! {
            div class={ "plot " (self.class) } aria-hidden="true" {
                div class="y" {
                    @for tick in self.y.iter().filter(|tick| !tick.label.is_empty()) {
                        span style=(percentage("bottom", tick.at)) { (tick.label) }
                    }
                }
                svg viewBox="0 0 1000 1000" preserveAspectRatio="none" {
                    g class="grid" { (self.grid()) }
                    (self.drawing)
                }
                @if self.x_words {
                    div class="x" {
                        @for tick in self.x.iter().filter(|tick| !tick.label.is_empty()) {
                            span class=[(!tick.major).then_some("minor")]
                                style=(percentage("left", tick.at)) { (tick.label) }
                        }
                    }
                }
            }
        }
    }

    fn grid(&self) -> Markup {
        let (mut major, mut minor) = (String::new(), String::new());
        let line =
            |path: &mut String, from: Point, to: Point| path.push_str(&polyline(&[from, to]));
        for tick in self.y {
            let path = if tick.label.is_empty() { &mut minor } else { &mut major };
            line(path, (0.0, tick.at), (1.0, tick.at));
        }
        for tick in self.x {
            let path = if tick.label.is_empty() { &mut minor } else { &mut major };
            line(path, (tick.at, 0.0), (tick.at, 1.0));
        }
        html! {
            path class="minor" d=(minor) {}
            path d=(major) {}
        }
    }
}

fn percentage(side: &str, place: f64) -> String {
    format!("{side}:{:.2}%", place * 100.0)
}

/// The path through the points.
pub(super) fn polyline(points: &[Point]) -> String {
    let mut path = String::with_capacity(points.len() * 12);
    for (index, point) in points.iter().enumerate() {
        push(&mut path, if index == 0 { 'M' } else { 'L' }, *point);
    }
    path
}

/// The line of values that hold from one place to another: left, right, height of each.
pub(super) fn steps(holding: impl Iterator<Item = (f64, f64, f64)>) -> Vec<Point> {
    holding.flat_map(|(left, right, height)| [(left, height), (right, height)]).collect()
}

/// The same without the lines that go up and down.
pub(super) fn dashes(holding: impl Iterator<Item = (f64, f64, f64)>) -> String {
    holding.map(|(left, right, height)| polyline(&[(left, height), (right, height)])).collect()
}

/// What lies between two lines that go the same way.
pub(super) fn area(upper: &[Point], lower: &[Point]) -> String {
    let mut path = polyline(upper);
    lower.iter().rev().for_each(|point| push(&mut path, 'L', *point));
    path.push('Z');
    path
}

/// A rectangle between two corners, added to a path.
pub(super) fn push_rectangle(path: &mut String, (left, bottom): Point, (right, top): Point) {
    push(path, 'M', (left, bottom));
    write!(path, "V{}H{}V{}Z", unit(1.0 - top), unit(right), unit(1.0 - bottom))
        .expect("a string takes everything");
}

fn push(path: &mut String, command: char, (x, y): Point) {
    write!(path, "{command}{} {}", unit(x), unit(1.0 - y)).expect("a string takes everything");
}

/// A tenth of a unit is less than a pixel.
fn unit(place: f64) -> f64 {
    (place * SIDE * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_start_at_the_lower_left() {
        assert_eq!(polyline(&[(0.0, 0.0), (0.5, 1.0), (1.0, 0.25)]), "M0 1000L500 0L1000 750");
        let held = steps([(0.0, 0.5, 0.5), (0.5, 1.0, 1.0)].into_iter());
        assert_eq!(held, [(0.0, 0.5), (0.5, 0.5), (0.5, 1.0), (1.0, 1.0)]);
        let area = area(&[(0.0, 1.0), (1.0, 1.0)], &[(0.0, 0.0), (1.0, 0.0)]);
        assert_eq!(area, "M0 0L1000 0L1000 1000L0 1000Z");
        let mut path = String::new();
        push_rectangle(&mut path, (0.0, 0.0), (0.1, 0.3333));
        assert_eq!(path, "M0 1000V666.7H100V1000Z");
    }
}
