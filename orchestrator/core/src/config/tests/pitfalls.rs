//! What YAML is known for: nothing is silently taken for something else.

use insta::assert_snapshot;

use super::*;

#[test]
fn a_bare_word_that_is_not_text_to_everybody_needs_quotes() {
    let text = web(
        "env:\n  A: no\n  B: on\n  C: 012\n  D: 1_000\n  E: 5432\n  F: true\n  G: ~\n  H: 22:30\n  I: 2001-01-01\n  J: 1e3\n  K:\n  L: 1.10\n  M: null\n  no: x",
    );
    assert_snapshot!(errors(&[&text]), @r#"
    environments/0.yaml:7:10: `components.web.env.A` must be text, but `no` without quotes is a boolean to some readers of YAML
      hint: put quotes around it: "no"
    environments/0.yaml:8:10: `components.web.env.B` must be text, but `on` without quotes is a boolean to some readers of YAML
      hint: put quotes around it: "on"
    environments/0.yaml:9:10: `components.web.env.C` must be text, but `012` without quotes is a number to some readers of YAML
      hint: put quotes around it: "012"
    environments/0.yaml:10:10: `components.web.env.D` must be text, but `1_000` without quotes is a number to some readers of YAML
      hint: put quotes around it: "1_000"
    environments/0.yaml:11:10: `components.web.env.E` must be text, but `5432` without quotes is a number to some readers of YAML
      hint: put quotes around it: "5432"
    environments/0.yaml:12:10: `components.web.env.F` must be text, but `true` without quotes is a boolean to some readers of YAML
      hint: put quotes around it: "true"
    environments/0.yaml:13:10: `components.web.env.G` is null, but nothing before gives it
      hint: null removes what an earlier file gives; leave it out
    environments/0.yaml:14:10: `components.web.env.H` must be text, but `22:30` without quotes is a number to some readers of YAML
      hint: put quotes around it: "22:30"
    environments/0.yaml:15:10: `components.web.env.I` must be text, but `2001-01-01` without quotes is a date to some readers of YAML
      hint: put quotes around it: "2001-01-01"
    environments/0.yaml:16:10: `components.web.env.J` must be text, but `1e3` without quotes is a number to some readers of YAML
      hint: put quotes around it: "1e3"
    environments/0.yaml:17:8: `components.web.env.K` has no value
      hint: write "" for empty text
    environments/0.yaml:18:10: `components.web.env.L` must be text, but `1.10` without quotes is a number to some readers of YAML
      hint: put quotes around it: "1.10"
    environments/0.yaml:19:10: `components.web.env.M` is null, but nothing before gives it
      hint: null removes what an earlier file gives; leave it out
    environments/0.yaml:20:7: the key `no` without quotes is a boolean to some readers of YAML
      hint: put quotes around it: "no"
    "#);
}

#[test]
fn with_quotes_it_is_the_text_that_is_written() {
    let text = web(
        "env: {A: 'no', B: \"on\", C: '012', D: '1_000', E: '', F: 'null', 'no': 'yes', G: 'a: b # c'}",
    );
    let env = &resolved(&[&text]).environment.components["web"].env;
    let pairs: Vec<String> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(pairs, ["A=no", "B=on", "C=012", "D=1_000", "E=", "F=null", "G=a: b # c", "no=yes"]);
}

#[test]
fn where_a_number_or_a_boolean_is_expected_there_is_one_way_to_write_it() {
    let text = web(
        "replicas: 012\nport: no\nlimits: {open_files: 1_000, processes: 1e3}\nlogs: {keep: 0x10}",
    );
    assert_snapshot!(errors(&[&text]), @r"
    environments/0.yaml:6:15: `components.web.replicas` must be a whole number, not `012`
      hint: digits only: no sign, point, separator, exponent or leading zero
    environments/0.yaml:7:11: `components.web.port` must be true or false, not `no`
    environments/0.yaml:8:26: `components.web.limits.open_files` must be a whole number, not `1_000`
      hint: digits only: no sign, point, separator, exponent or leading zero
    environments/0.yaml:8:44: `components.web.limits.processes` must be a whole number, not `1e3`
      hint: digits only: no sign, point, separator, exponent or leading zero
    environments/0.yaml:9:18: `components.web.logs.keep` must be a whole number, not `0x10`
      hint: digits only: no sign, point, separator, exponent or leading zero
    ");
}

#[test]
fn a_key_cannot_be_given_twice() {
    let text = format!("{}project: other\n", web("env: {A: x, A: y}"));
    assert_snapshot!(errors(&[&text]), @r"
    environments/0.yaml:6:17: `A` is given twice; first at environments/0.yaml:6:11
      hint: keep one of them
    environments/0.yaml:7:1: `project` is given twice; first at environments/0.yaml:1:1
      hint: keep one of them
    ");
}

#[test]
fn aliases_repeat_values_but_do_not_explode() {
    let text = "project: demo\ncomponents:\n  web: &web\n    artifact: a\n    command: &command [./run, x]\n    routes: [{path: /a}]\n  job:\n    artifact: a\n    command: *command\n    port: false\n";
    assert_eq!(resolved(&[text]).environment.components["job"].command, ["./run", "x"]);

    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let before = format!("*a{}", level - 1);
        bomb += &format!("a{level}: &a{level} [{}]\n", [before.as_str(); 10].join(", "));
    }
    assert_snapshot!(errors(&[&bomb]), @r"
    environments/0.yaml:4:45: the document holds more than 10000 values
      hint: aliases count with all that they repeat
    ");
    assert_snapshot!(errors(&["project: &a [*a]\n"]), @"environments/0.yaml:1:14: an alias stands inside the value that it repeats");
    assert_snapshot!(errors(&["project: *nowhere\n"]), @"environments/0.yaml:1:10: this is not valid YAML: while parsing node, found unknown anchor");
}

#[test]
fn merge_keys_tags_and_second_documents_are_refused() {
    assert_snapshot!(errors(&[&web("<<: {port: false}")]), @r"
    environments/0.yaml:6:5: merge keys (`<<`) are not supported
      hint: put what is shared into the file named by `extends`
    ");
    assert_snapshot!(errors(&[&web("env: {A: !!str 12, B: !Ref x}")]), @r#"
    environments/0.yaml:6:20: tags such as `!!str` are not supported
      hint: leave it out; use quotes for text
    environments/0.yaml:6:20: `components.web.env.A` must be text, but `12` without quotes is a number to some readers of YAML
      hint: put quotes around it: "12"
    environments/0.yaml:6:32: tags such as `!Ref` are not supported
      hint: leave it out; use quotes for text
    "#);
    assert_snapshot!(errors(&[&format!("{SMALL}---\nproject: other\n")]), @"environments/0.yaml:6:1: a second document starts here; a file holds one");
}

#[test]
fn what_is_not_yaml_says_where() {
    assert_snapshot!(errors(&["project: demo\n  components: {}\n"]), @"environments/0.yaml:2:13: this is not valid YAML: mapping values are not allowed in this context");
    assert_snapshot!(errors(&["project: 'demo\n"]), @"environments/0.yaml:1:10: this is not valid YAML: unclosed quote");
    assert_snapshot!(errors(&["project:\n\tname: x\n"]), @"environments/0.yaml:2:2: this is not valid YAML: tabs disallowed within this context (block indentation)");
    assert_snapshot!(errors(&["{{ project }}: x\n"]), @r"
    environments/0.yaml:1:1: a key must be a word, not a list or a map
    environments/0.yaml:1:1: `project` is missing
      hint: The project that this environment belongs to; names its state on the target
    environments/0.yaml:1:1: `components` is missing
      hint: What is deployed, by name
    environments/0.yaml:1:2: a key must be a word, not a list or a map
    ");
}

#[test]
fn size_and_depth_have_limits() {
    assert_snapshot!(errors(&[&"# long\n".repeat(200_000)]), @"environments/0.yaml:1:1: the document is larger than 1 MiB");
    assert_snapshot!(errors(&[&format!("project: {}", "[".repeat(100_000))]), @"environments/0.yaml:1:42: this is not valid YAML: recursion limit exceeded");
    let many: String = (0..20_000).map(|i| format!("k{i}: x\n")).collect();
    let shown = errors(&[&many]);
    assert_snapshot!(shown.0[0], @r"
    environments/0.yaml:5000:8: the document holds more than 10000 values
      hint: aliases count with all that they repeat
    ");
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_are_fine() {
    let text = format!("\u{feff}{}", SMALL.replace('\n', "\r\n"));
    assert_eq!(resolved(&[&text]).environment, resolved(&[SMALL]).environment);
}
