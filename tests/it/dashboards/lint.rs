//! The 17 rules of Grafana's dashboard linter, and what else holds of our boards. Each rule is
//! broken once to see that it tells.

use std::collections::{BTreeMap, BTreeSet};

use gravimeter::record::{Label as _, TokenKind};
use serde_json::{Value, json};

use super::expression::{RANGE, RATE_INTERVAL, Selector, selectors};
use super::{Board, boards, documented, list, panels, text};

/// What is wrong with a board by one rule.
type Rule = fn(&Value) -> Vec<String>;

/// By the names that the linter has for them.
const RULES: [(&str, Rule); 17] = [
    ("template-datasource-rule", template_datasource),
    ("template-job-rule", |board| template(board, "job")),
    ("template-instance-rule", |board| {
        template(board, "instance")
    }),
    ("template-label-promql-rule", template_label_promql),
    ("template-on-time-change-reload-rule", template_reload),
    ("panel-datasource-rule", panel_datasource),
    ("panel-title-description-rule", panel_title_description),
    ("panel-units-rule", panel_units),
    ("panel-no-targets-rule", panel_no_targets),
    ("target-logql-rule", target_logql),
    ("target-logql-auto-rule", target_logql_auto),
    ("target-promql-rule", target_promql),
    ("target-rate-interval-rule", target_rate_interval),
    ("target-job-rule", |board| target_matcher(board, "job")),
    ("target-instance-rule", |board| {
        target_matcher(board, "instance")
    }),
    ("target-counter-agg-rule", target_counter),
    ("uneditable-dashboard-rule", uneditable),
];

#[test]
fn boards_keep_the_rules_of_the_linter() {
    let broken: Vec<_> = boards()
        .iter()
        .flat_map(|board| lint(&board.json).into_iter().map(|(_, what)| what))
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn each_rule_tells_when_it_is_broken() {
    let board = boards().remove(0).json;
    let breaks: [(&str, &str, Value); 17] = [
        (
            "template-datasource-rule",
            "/templating/list/0/name",
            json!("ds"),
        ),
        (
            "template-job-rule",
            "/templating/list/1/multi",
            json!(false),
        ),
        (
            "template-instance-rule",
            "/templating/list/2/allValue",
            json!(".*"),
        ),
        (
            "template-label-promql-rule",
            "/templating/list/1/query",
            json!("label_values(a{, job)"),
        ),
        (
            "template-on-time-change-reload-rule",
            "/templating/list/2/refresh",
            json!(1),
        ),
        (
            "panel-datasource-rule",
            "/panels/1/datasource/uid",
            json!("abc"),
        ),
        (
            "panel-title-description-rule",
            "/panels/1/description",
            json!(""),
        ),
        (
            "panel-units-rule",
            "/panels/1/fieldConfig/defaults/unit",
            json!("tokens"),
        ),
        ("panel-no-targets-rule", "/panels/1/targets", json!([])),
        (
            "target-logql-rule",
            "/panels/1/targets/0/datasource/type",
            json!("loki"),
        ),
        (
            "target-logql-auto-rule",
            "/panels/1/targets/0/expr",
            json!("rate({a=\"b\"}[$__auto])"),
        ),
        (
            "target-promql-rule",
            "/panels/1/targets/0/expr",
            json!("sum("),
        ),
        (
            "target-rate-interval-rule",
            "/panels/1/targets/0/expr",
            json!("rate(a_total[5m])"),
        ),
        (
            "target-job-rule",
            "/panels/1/targets/0/expr",
            json!("a{instance=~\"$instance\", job=\"$job\"}"),
        ),
        (
            "target-instance-rule",
            "/panels/1/targets/0/expr",
            json!("a{job=~\"$job\"}"),
        ),
        (
            "target-counter-agg-rule",
            "/panels/1/targets/0/expr",
            json!("sum(a_total)"),
        ),
        ("uneditable-dashboard-rule", "/editable", json!(true)),
    ];
    for ((rule, _), (breaks, path, value)) in RULES.iter().zip(breaks) {
        assert_eq!(*rule, breaks, "in the order of the rules");
        let mut board = board.clone();
        *board
            .pointer_mut(path)
            .unwrap_or_else(|| panic!("{path} is there")) = value;
        assert!(
            lint(&board).iter().any(|(told, _)| *told == breaks),
            "{breaks} says nothing of {path}"
        );
    }
}

fn lint(board: &Value) -> Vec<(&'static str, String)> {
    let told = |(name, rule): &(&'static str, Rule)| {
        let of = text(&board["title"]).to_owned();
        let name = *name;
        rule(board)
            .into_iter()
            .map(move |what| (name, format!("{of}: {name}: {what}")))
            .collect::<Vec<_>>()
    };
    RULES.iter().flat_map(told).collect()
}

const SOURCE: &str = "${prometheus_datasource}";

fn variables(board: &Value) -> &[Value] {
    list(&board["templating"]["list"])
}

/// Several data sources are named after their kinds.
fn template_datasource(board: &Value) -> Vec<String> {
    let sources: Vec<_> = variables(board)
        .iter()
        .filter(|it| it["type"] == "datasource")
        .collect();
    let mut broken = Vec::new();
    if !sources.iter().any(|source| source["query"] == "prometheus") {
        broken.push("there is no variable for the Prometheus data source".to_owned());
    }
    for source in sources {
        let kind = text(&source["query"]);
        let (first, rest) = kind.split_at(1);
        let label = format!("{}{rest} data source", first.to_uppercase());
        if source["name"] != format!("{kind}_datasource") || source["label"] != label {
            broken.push(format!(
                "the variable for {kind} is {} with the label {}",
                source["name"], source["label"]
            ));
        }
    }
    broken
}

fn template(board: &Value, name: &str) -> Vec<String> {
    let Some(variable) = variables(board)
        .iter()
        .find(|variable| variable["name"] == name)
    else {
        return vec![format!("there is no variable {name}")];
    };
    let (first, rest) = name.split_at(1);
    let wanted = [
        ("/type", json!("query")),
        ("/datasource/uid", json!(SOURCE)),
        ("/label", json!(format!("{}{rest}", first.to_uppercase()))),
        ("/multi", json!(true)),
        ("/allValue", json!(".+")),
        ("/includeAll", json!(true)),
    ];
    let differs = |(path, value): &(&str, Value)| variable.pointer(path) != Some(value);
    wanted
        .iter()
        .filter(|it| differs(it))
        .map(|(path, value)| format!("{name}{path} is not {value}"))
        .collect()
}

/// The metric that `label_values(metric, label)` asks for, and the label.
pub fn label_values(query: &str) -> Option<(&str, &str)> {
    query
        .strip_prefix("label_values(")?
        .strip_suffix(')')?
        .rsplit_once(", ")
}

fn queries(board: &Value) -> impl Iterator<Item = &Value> {
    variables(board)
        .iter()
        .filter(|variable| variable["type"] == "query")
}

fn template_label_promql(board: &Value) -> Vec<String> {
    let is_valid =
        |query: &str| label_values(query).is_some_and(|(metric, _)| selectors(metric).is_ok());
    queries(board)
        .map(|it| text(&it["query"]))
        .filter(|query| !is_valid(query))
        .map(str::to_owned)
        .collect()
}

/// 2: at each change of the time range.
fn template_reload(board: &Value) -> Vec<String> {
    queries(board)
        .filter(|it| it["refresh"] != 2)
        .map(|it| it["name"].to_string())
        .collect()
}

fn panel_rule(board: &Value, mut keeps: impl FnMut(&Value) -> bool) -> Vec<String> {
    panels(board)
        .into_iter()
        .filter(|panel| !keeps(panel))
        .map(|panel| panel["title"].to_string())
        .collect()
}

fn panel_datasource(board: &Value) -> Vec<String> {
    panel_rule(board, |panel| {
        let of_targets = list(&panel["targets"])
            .iter()
            .map(|target| &target["datasource"]["uid"]);
        of_targets
            .chain([&panel["datasource"]["uid"]])
            .all(|uid| uid == SOURCE)
    })
}

fn panel_title_description(board: &Value) -> Vec<String> {
    panel_rule(board, |panel| {
        ["title", "description"]
            .iter()
            .all(|part| !text(&panel[*part]).is_empty())
    })
}

/// Grafana's own names of the units that are used here.
const UNITS: [&str; 7] = [
    "Bps",
    "bytes",
    "currencyUSD",
    "dateTimeFromNow",
    "percentunit",
    "s",
    "short",
];

fn panel_units(board: &Value) -> Vec<String> {
    panel_rule(board, |panel| {
        let overrides = list(&panel["fieldConfig"]["overrides"])
            .iter()
            .flat_map(|it| list(&it["properties"]));
        let overrides = overrides
            .filter(|property| property["id"] == "unit")
            .map(|property| &property["value"]);
        overrides
            .chain([&panel["fieldConfig"]["defaults"]["unit"]])
            .all(|unit| UNITS.contains(&text(unit)))
    })
}

fn panel_no_targets(board: &Value) -> Vec<String> {
    panel_rule(board, |panel| {
        list(&panel["targets"])
            .iter()
            .any(|target| !text(&target["expr"]).is_empty())
    })
}

fn targets(board: &Value) -> impl Iterator<Item = (&Value, &Value)> {
    panels(board).into_iter().flat_map(|panel| {
        list(&panel["targets"])
            .iter()
            .map(move |target| (panel, target))
    })
}

/// No panel asks Loki: what would be LogQL is a mistake.
fn target_logql(board: &Value) -> Vec<String> {
    let loki = targets(board).filter(|(_, target)| target["datasource"]["type"] != "prometheus");
    loki.map(|(panel, target)| format!("{}: {}", panel["title"], target["expr"]))
        .collect()
}

fn target_logql_auto(board: &Value) -> Vec<String> {
    let auto = targets(board).filter(|(_, target)| text(&target["expr"]).contains("$__auto"));
    auto.map(|(panel, target)| format!("{}: {}", panel["title"], target["expr"]))
        .collect()
}

fn target_promql(board: &Value) -> Vec<String> {
    let told = |(panel, target): (&Value, &Value)| {
        let error = selectors(text(&target["expr"])).err()?;
        Some(format!("{}: {error}", panel["title"]))
    };
    targets(board).filter_map(told).collect()
}

/// The expressions of panels that have a selector which breaks a rule; what is no PromQL breaks
/// another one.
fn selector_rule(board: &Value, keeps: impl Fn(&Value, &Selector) -> bool) -> Vec<String> {
    let breaks = |panel: &Value, target: &Value| {
        let selectors = selectors(text(&target["expr"])).unwrap_or_default();
        selectors.iter().any(|selector| !keeps(panel, selector))
    };
    let broken = targets(board).filter(|(panel, target)| breaks(panel, target));
    broken
        .map(|(panel, target)| format!("{}: {}", panel["title"], target["expr"]))
        .collect()
}

/// Beyond the linter: the increase over the whole range is for panels that show one number of it,
/// that over a day for panels with a point for each day.
fn target_rate_interval(board: &Value) -> Vec<String> {
    selector_rule(board, |panel, selector| {
        let Some(window) = selector.window.map(|window| format!("{window}s")) else {
            return true;
        };
        let of_range = selector.function.as_deref() == Some("increase")
            && ["stat", "table"].contains(&text(&panel["type"]));
        let of_day = selector.function.as_deref() == Some("increase") && panel["interval"] == "1d";
        window == RATE_INTERVAL || (window == RANGE && of_range) || (window == DAY && of_day)
    })
}

const DAY: &str = "86400s";

fn target_matcher(board: &Value, label: &str) -> Vec<String> {
    selector_rule(board, |_, selector| {
        selector.has(label, &format!("${label}"))
    })
}

fn target_counter(board: &Value) -> Vec<String> {
    selector_rule(board, |_, selector| {
        let is_change = matches!(
            selector.function.as_deref(),
            Some("rate" | "irate" | "increase")
        );
        !selector.metric.ends_with("_total") || is_change
    })
}

fn uneditable(board: &Value) -> Vec<String> {
    if board["editable"] == false {
        vec![]
    } else {
        vec!["it can be edited".to_owned()]
    }
}

#[test]
fn boards_import_as_they_are_and_lead_to_each_other() {
    let boards = boards();
    for board in &boards {
        let (name, json) = (&board.name, &board.json);
        assert_eq!(json["uid"], format!("gravimeter-{name}"));
        assert!(
            json["id"].is_null() && json["__inputs"].is_null(),
            "{name}: nothing to fill in"
        );
        assert_eq!(json["tags"], json!(["gravimeter"]), "{name}");
        assert!(
            !text(&json["description"]).is_empty() && !text(&json["refresh"]).is_empty(),
            "{name}"
        );
        let link = &json["links"][0];
        let kept = (&link["tags"], &link["includeVars"], &link["keepTime"]);
        assert_eq!(
            kept,
            (&json!(["gravimeter"]), &json!(true), &json!(true)),
            "{name}"
        );
        let marks: Vec<_> = list(&json["annotations"]["list"])
            .iter()
            .map(|mark| text(&mark["name"]))
            .collect();
        assert_eq!(
            marks,
            [
                "Restarts of Gravimeter",
                "Restarts of the agent",
                "Rate limits"
            ],
            "{name}"
        );
    }
}

/// The models to choose from are those of the chosen provider, and all of them stand for it where a
/// metric has no label for its provider.
#[test]
fn every_board_is_narrowed_by_provider_and_model() {
    for board in boards() {
        let variables = variables(&board.json);
        let names: Vec<_> = variables.iter().map(|it| text(&it["name"])).collect();
        assert_eq!(
            names[1..5],
            ["job", "instance", "provider", "model"],
            "{}",
            board.name
        );
        let model = &variables[4];
        assert!(text(&model["query"]).contains("provider=~\"$provider\""));
        assert!(model["allValue"].is_null(), "{}", board.name);
    }
}

#[test]
fn every_panel_says_what_it_means_that_there_is_nothing() {
    for board in boards() {
        let silent = panel_rule(&board.json, |panel| {
            !text(&panel["fieldConfig"]["defaults"]["noValue"]).is_empty()
        });
        assert!(silent.is_empty(), "{}: {silent:?}", board.name);
    }
}

/// By its name, unless the panel fixes it: not by its place among the others, which changes.
#[test]
fn a_line_has_its_colour_whatever_is_drawn_beside_it() {
    let mut graphs = 0;
    for board in boards() {
        let wrong = panel_rule(&board.json, |panel| {
            let is_graph = panel["type"] == "timeseries";
            graphs += usize::from(is_graph);
            !is_graph
                || panel["fieldConfig"]["defaults"]["color"]["mode"] == "palette-classic-by-name"
        });
        assert!(wrong.is_empty(), "{}: {wrong:?}", board.name);
    }
    assert!(graphs > 30, "{graphs}");
}

#[test]
fn panels_have_a_place_of_their_own() {
    for board in boards() {
        let mut ids = BTreeSet::new();
        let mut cells = BTreeSet::new();
        for panel in list(&board.json["panels"]) {
            assert!(
                ids.insert(panel["id"].as_u64().expect("an id")),
                "{}: {}",
                board.name,
                panel["title"]
            );
            let [x, y, w, h] =
                ["x", "y", "w", "h"].map(|part| panel["gridPos"][part].as_u64().expect("a place"));
            assert!(
                w > 0 && h > 0 && x + w <= 24,
                "{}: {}",
                board.name,
                panel["title"]
            );
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(
                    cells.insert(cell),
                    "{}: {} lies over another panel",
                    board.name,
                    panel["title"]
                );
            }
        }
        let height = cells.iter().map(|(_, y)| y + 1).max().unwrap_or_default();
        assert_eq!(cells.len() as u64, 24 * height, "{}: no gaps", board.name);
    }
}

/// A link names a variable of the board for its data source and searches the time that is shown.
#[test]
fn data_links_lead_to_the_trace_store() {
    let mut kinds = BTreeSet::new();
    for Board { name, json } in boards() {
        let searches = searches(&json);
        assert!(!searches.is_empty(), "{name} leads to traces");
        for pane in searches {
            let kind = text(&pane["queries"][0]["datasource"]["type"]).to_owned();
            assert_eq!(
                pane["datasource"],
                format!("${{{kind}_datasource}}"),
                "{name}"
            );
            assert!(
                variables(&json)
                    .iter()
                    .any(|it| it["name"] == format!("{kind}_datasource")),
                "{name}: {kind}"
            );
            assert_eq!(pane["range"], json!({"from": "${__from}", "to": "${__to}"}));
            kinds.insert(kind);
        }
    }
    assert_eq!(
        kinds,
        BTreeSet::from(["jaeger".to_owned(), "tempo".to_owned()])
    );
}

/// What the data links of a board open: a search in the trace store.
pub fn searches(board: &Value) -> Vec<Value> {
    let mut links = Vec::new();
    for panel in panels(board) {
        links.extend(list(&panel["fieldConfig"]["defaults"]["links"]));
        let overrides = list(&panel["fieldConfig"]["overrides"])
            .iter()
            .flat_map(|it| list(&it["properties"]));
        links.extend(
            overrides
                .filter(|it| it["id"] == "links")
                .flat_map(|it| list(&it["value"])),
        );
    }
    links.into_iter().map(search).collect()
}

fn search(link: &Value) -> Value {
    let url = text(&link["url"]);
    let panes = url
        .strip_prefix("/explore?schemaVersion=1&panes=")
        .unwrap_or_else(|| panic!("{url}"));
    let plain = percent_encoding::percent_decode_str(panes)
        .decode_utf8()
        .expect("UTF-8");
    let mut panes: Value =
        serde_json::from_str(&plain).unwrap_or_else(|error| panic!("{error}: {plain}"));
    panes["traces"].take()
}

/// Metrics that no board shows, and why.
const UNSHOWN: [(&str, &str); 3] = [
    (
        "gen_ai_",
        "the same calls under the convention's names, for boards of other people",
    ),
    (
        "gravimeter_model_info",
        "names for people, to be joined by hand",
    ),
    (
        "process_virtual_memory_bytes",
        "address space costs nothing, and would hide what does",
    ),
];

/// Exemplars are asked for where there are some.
const TRACED: [&str; 3] = [
    "gravimeter_call_duration_seconds",
    "gravimeter_time_to_first_chunk_seconds",
    "gravimeter_cascade_duration_seconds",
];

#[test]
fn boards_ask_for_what_is_documented_and_show_all_of_it() {
    let documented = documented();
    let mut shown = BTreeSet::new();
    let mut with_exemplars = BTreeSet::new();
    for board in boards() {
        for (panel, target) in targets(&board.json) {
            for selector in selectors(text(&target["expr"])).expect("PromQL") {
                let (family, of) = (
                    selector.family().to_owned(),
                    format!("{}: {}", board.name, panel["title"]),
                );
                assert!(documented.contains(&family), "{of}: {family}");
                if target["exemplar"] == true {
                    assert!(
                        TRACED.contains(&&*family),
                        "{of}: {family} has no exemplars"
                    );
                    with_exemplars.insert(family.clone());
                }
                shown.insert(family);
            }
        }
    }
    let is_unshown = |name: &&String| !UNSHOWN.iter().any(|(prefix, _)| name.starts_with(prefix));
    let missing: Vec<_> = documented
        .iter()
        .filter(is_unshown)
        .filter(|name| !shown.contains(*name))
        .collect();
    assert!(missing.is_empty(), "on no board: {missing:?}");
    assert_eq!(with_exemplars, TRACED.map(str::to_owned).into());
}

/// The colours that a panel fixes, by the name of the series.
fn fixed_colors(panel: &Value) -> BTreeMap<&str, &str> {
    let overrides = list(&panel["fieldConfig"]["overrides"]).iter();
    let by_name = overrides.filter(|one| one["matcher"]["id"] == "byName");
    let colors = by_name.flat_map(|one| {
        let properties = list(&one["properties"]).iter();
        let colors = properties.filter(|property| property["id"] == "color");
        colors.map(|color| {
            (
                text(&one["matcher"]["options"]),
                text(&color["value"]["fixedColor"]),
            )
        })
    });
    colors.collect()
}

#[test]
fn a_kind_of_token_has_the_same_colour_on_every_board_and_no_other_kind_has_it() {
    let own = TokenKind::ALL.iter().map(|kind| kind.as_str());
    let kinds: BTreeSet<&str> = TokenKind::public_names().chain(own).collect();
    assert!(kinds.contains("cache_write") && kinds.contains("cache_write_1h"));
    let boards = boards();
    let all = boards.iter().flat_map(|board| panels(&board.json));
    let by_kind: Vec<_> = all
        .filter(|panel| {
            let targets = list(&panel["targets"]).iter();
            let mut legends = targets.map(|target| text(&target["legendFormat"]));
            legends.any(|legend| legend == "{{kind}}")
        })
        .collect();
    assert!(by_kind.len() >= 2);
    let mut kinds_of = BTreeMap::<&str, BTreeSet<&str>>::new();
    for panel in by_kind {
        let colors = fixed_colors(panel);
        for kind in &kinds {
            let color = colors.get(kind);
            let color = color.unwrap_or_else(|| panic!("{}: {kind}", panel["title"]));
            kinds_of.entry(color).or_default().insert(kind);
        }
    }
    let shared: Vec<_> = kinds_of.iter().filter(|(_, of)| of.len() > 1).collect();
    assert!(shared.is_empty(), "{shared:?}");
    assert_eq!(kinds_of.len(), kinds.len(), "{kinds_of:?}");
}
