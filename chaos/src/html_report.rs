//! HTML report of a run: the promises, and a timeline.

use chaos::check::{History, Report, Rule};

/// Width of the timeline, in units of the drawing.
const WIDTH: u64 = 1000;
/// Number of intervals in which requests are counted.
const STEPS: usize = 200;

/// Draws the page, which needs no other files.
pub(crate) fn render(history: &History, report: &Report) -> String {
    let head = &history.head;
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>Chaos {topology} {seed}</title><style>\
         :root{{color-scheme:light dark;font:1rem/1.5 system-ui,sans-serif}}body{{margin:2rem auto;\
         max-width:64rem;padding:0 1rem}}table{{border-collapse:collapse}}td,th{{padding:.2rem .8rem;\
         text-align:left}}.no{{color:#c00;font-weight:bold}}svg{{width:100%;height:auto}}</style>\
         <h1>Topology {topology}, seed {seed}, {seconds} s</h1>",
        topology = head.topology,
        seed = head.seed,
        seconds = head.seconds
    );
    timeline(history, report, &mut page);
    page.push_str("<table><tr><th>Promise<th><th>Kept?");
    for rule in Rule::ALL {
        let broken = report
            .violations
            .iter()
            .filter(|violation| violation.rule == rule);
        let verdict = match broken.count() {
            0 => "kept".to_owned(),
            count => format!("<span class=\"no\">broken {count} times</span>"),
        };
        push(
            &mut page,
            format_args!("<tr><td>{rule:?}<td>{}<td>{verdict}", rule.promise()),
        );
    }
    page.push_str("</table><ul>");
    for violation in &report.violations {
        push(
            &mut page,
            format_args!("<li>{:?}: {}", violation.rule, escape(&violation.text)),
        );
    }
    page.push_str("</ul><table>");
    for (what, count) in &report.counts {
        push(&mut page, format_args!("<tr><td>{what}<td>{count}"));
    }
    page.push_str("</table></html>\n");
    page
}

/// Faults as boxes, answers and failures as bars below, broken promises as strokes.
fn timeline(history: &History, report: &Report, page: &mut String) {
    let last = history
        .operations
        .iter()
        .map(|op| op.end)
        .max()
        .unwrap_or(1)
        .max(1);
    let x = |time: u64| time * WIDTH / last;
    page.push_str(
        "<svg viewBox=\"0 0 1000 220\" role=\"img\" aria-label=\"Faults and failures over time\">",
    );
    for fault in &history.faults {
        let (from, to) = (x(fault.start), x(fault.end));
        push(
            page,
            format_args!(
                "<rect x=\"{from}\" y=\"0\" width=\"{}\" height=\"200\" fill=\"#fa0\" opacity=\".4\">\
                 <title>{}</title></rect>",
                (to - from).max(1),
                fault.name
            ),
        );
    }
    let mut bars = vec![(0_u64, 0_u64); STEPS];
    for op in &history.operations {
        let step = usize::try_from(op.start * (STEPS as u64 - 1) / last).unwrap_or(0);
        bars[step].0 += 1;
        bars[step].1 += u64::from(op.is_unknown());
    }
    let most = bars.iter().map(|(all, _)| *all).max().unwrap_or(1).max(1);
    for (step, (all, failed)) in bars.iter().enumerate() {
        for (count, colour) in [(*all, "#38c"), (*failed, "#c00")] {
            let height = count * 200 / most;
            push(
                page,
                format_args!(
                    "<rect x=\"{}\" y=\"{}\" width=\"4\" height=\"{height}\" fill=\"{colour}\"/>",
                    step * 5,
                    200 - height
                ),
            );
        }
    }
    for violation in &report.violations {
        push(
            page,
            format_args!(
                "<path d=\"M{} 0v220\" stroke=\"#c00\" stroke-width=\"2\"/>",
                x(violation.at)
            ),
        );
    }
    page.push_str("</svg>");
}

fn push(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.push_str(&text.to_string());
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
