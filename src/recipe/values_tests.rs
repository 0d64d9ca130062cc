//! What templates know: everything the documentation lists, evaluated in a recipe.

use std::collections::BTreeSet;

use crate::distro::well_known;
use crate::recipe::{Content, FileStep, Recipe, RecipeError, Request, Step};

/// The text of a file whose template is `template`.
fn evaluate(template: &str) -> Result<String, RecipeError> {
    let text = format!(
        "name = 'x'\nsummary = 's'\n[options.size]\ndescription = 'd'\ndefault = '512'\n\
         [[file]]\npath = '/a'\ntext = '''{template}'''\n"
    );
    let os = well_known("debian-12").unwrap();
    let plan = Recipe::from_text("x", &text)?.plan(&Request::new(&os))?;
    match &plan.stages[0].steps[0] {
        Step::File(FileStep { content: Content::Text(text), .. }) => Ok(text.clone()),
        step => panic!("{step:?}"),
    }
}

/// Kind and name as the documentation has them, a template that uses it, and what comes out.
#[rustfmt::skip]
const TABLE: &[(&str, &str, &str, &str)] = &[
    ("filters", "abs", "{{ -3 | abs }}", "3"),
    ("filters", "attr", "{{ os | attr('id') }}", "debian"),
    ("filters", "batch", "{{ [1, 2, 3] | batch(2) | list | length }}", "2"),
    ("filters", "bool", "{{ '' | bool }}", "False"),
    ("filters", "capitalize", "{{ 'abc' | capitalize }}", "Abc"),
    ("filters", "chain", "{{ [1] | chain([2]) | join }}", "12"),
    ("filters", "count", "{{ 'abc' | count }}", "3"),
    ("filters", "d", "{{ missing | d('x') }}", "x"),
    ("filters", "default", "{{ missing | default('x') }}", "x"),
    ("filters", "dictsort", "{{ {'b': 1, 'a': 2} | dictsort | first | first }}", "a"),
    ("filters", "e", "{{ '<' | e }}", "&lt;"),
    ("filters", "escape", "{{ '<' | escape }}", "&lt;"),
    ("filters", "first", "{{ [1, 2] | first }}", "1"),
    ("filters", "float", "{{ '1.5' | float }}", "1.5"),
    ("filters", "format", "{{ '%s has %03d' | format(os.id, 7) }}", "debian has 007"),
    ("filters", "groupby", "{{ [{'a': 1}, {'a': 1}] | groupby('a') | length }}", "1"),
    ("filters", "indent", "{{ 'a\nb' | indent(2) }}", "a\n  b"),
    ("filters", "int", "{{ (size | int) // 2 }}", "256"),
    ("filters", "items", "{{ {'a': 1} | items | first | first }}", "a"),
    ("filters", "join", "{{ ['a', 'b'] | join(',') }}", "a,b"),
    ("filters", "last", "{{ [1, 2] | last }}", "2"),
    ("filters", "length", "{{ [1, 2] | length }}", "2"),
    ("filters", "lines", "{{ 'a\nb' | lines | last }}", "b"),
    ("filters", "list", "{{ 'ab' | list | first }}", "a"),
    ("filters", "lower", "{{ 'A' | lower }}", "a"),
    ("filters", "map", "{{ ['a'] | map('upper') | join }}", "A"),
    ("filters", "max", "{{ [1, 2] | max }}", "2"),
    ("filters", "min", "{{ [1, 2] | min }}", "1"),
    ("filters", "pprint", "{{ 1 | pprint }}", "1"),
    ("filters", "reject", "{{ [1, 2] | reject('odd') | join }}", "2"),
    ("filters", "rejectattr", "{{ [{'a': 1}] | rejectattr('a') | list | length }}", "0"),
    ("filters", "replace", "{{ 'a.b' | replace('.', '-') }}", "a-b"),
    ("filters", "reverse", "{{ 'ab' | reverse }}", "ba"),
    ("filters", "round", "{{ 2.6 | round | int }}", "3"),
    ("filters", "safe", "{{ '<' | safe }}", "<"),
    ("filters", "select", "{{ [1, 2] | select('odd') | join }}", "1"),
    ("filters", "selectattr", "{{ [{'a': 1}] | selectattr('a') | list | length }}", "1"),
    ("filters", "slice", "{{ [1, 2, 3, 4] | slice(2) | list | length }}", "2"),
    ("filters", "sort", "{{ [2, 1] | sort | join }}", "12"),
    ("filters", "split", "{{ 'a,b' | split(',') | last }}", "b"),
    ("filters", "string", "{{ (1 | string) ~ 2 }}", "12"),
    ("filters", "sum", "{{ [1, 2] | sum }}", "3"),
    ("filters", "title", "{{ 'a b' | title }}", "A B"),
    ("filters", "tojson", "{{ {'a': [1, 'x']} | tojson }}", r#"{"a": [1, "x"]}"#),
    ("filters", "trim", "{{ ' a ' | trim }}", "a"),
    ("filters", "unique", "{{ [1, 1] | unique | list | length }}", "1"),
    ("filters", "upper", "{{ 'a' | upper }}", "A"),
    ("filters", "urlencode", "{{ 'a b' | urlencode }}", "a%20b"),
    ("filters", "zip", "{{ [1] | zip([2]) | first | last }}", "2"),
    ("tests", "boolean", "{{ true is boolean }}", "True"),
    ("tests", "defined", "{{ size is defined }}", "True"),
    ("tests", "divisibleby", "{{ 4 is divisibleby(2) }}", "True"),
    ("tests", "endingwith", "{{ 'ab' is endingwith('b') }}", "True"),
    ("tests", "eq", "{{ 1 is eq(1) }}", "True"),
    ("tests", "equalto", "{{ 1 is equalto(1) }}", "True"),
    ("tests", "escaped", "{{ 'a' is escaped }}", "False"),
    ("tests", "even", "{{ 2 is even }}", "True"),
    ("tests", "false", "{{ false is false }}", "True"),
    ("tests", "filter", "{{ 'tojson' is filter }}", "True"),
    ("tests", "float", "{{ 1.5 is float }}", "True"),
    ("tests", "ge", "{{ 1 is ge(1) }}", "True"),
    ("tests", "greaterthan", "{{ 2 is greaterthan(1) }}", "True"),
    ("tests", "gt", "{{ 2 is gt(1) }}", "True"),
    ("tests", "in", "{{ 1 is in([1]) }}", "True"),
    ("tests", "int", "{{ 1 is int }}", "True"),
    ("tests", "integer", "{{ 1 is integer }}", "True"),
    ("tests", "iterable", "{{ [] is iterable }}", "True"),
    ("tests", "le", "{{ 1 is le(1) }}", "True"),
    ("tests", "lessthan", "{{ 1 is lessthan(2) }}", "True"),
    ("tests", "lower", "{{ 'a' is lower }}", "True"),
    ("tests", "lt", "{{ 1 is lt(2) }}", "True"),
    ("tests", "mapping", "{{ {} is mapping }}", "True"),
    ("tests", "ne", "{{ 1 is ne(2) }}", "True"),
    ("tests", "none", "{{ none is none }}", "True"),
    ("tests", "number", "{{ 1 is number }}", "True"),
    ("tests", "odd", "{{ 1 is odd }}", "True"),
    ("tests", "safe", "{{ ('a' | safe) is safe }}", "True"),
    ("tests", "sameas", "{{ 1 is sameas(1) }}", "True"),
    ("tests", "sequence", "{{ [] is sequence }}", "True"),
    ("tests", "startingwith", "{{ 'ab' is startingwith('a') }}", "True"),
    ("tests", "string", "{{ size is string }}", "True"),
    ("tests", "test", "{{ 'odd' is test }}", "True"),
    ("tests", "true", "{{ true is true }}", "True"),
    ("tests", "undefined", "{{ missing is undefined }}", "True"),
    ("tests", "upper", "{{ 'A' is upper }}", "True"),
    ("functions", "debug", "{{ debug(1) | length > 0 }}", "True"),
    ("functions", "dict", "{{ dict(a=1).a }}", "1"),
    ("functions", "namespace", "{% set n = namespace(i=0) %}{% for x in [1, 2] %}{% set n.i = n.i + x %}{% endfor %}{{ n.i }}", "3"),
    ("functions", "range", "{{ range(3) | join }}", "012"),
    ("methods of strings", "capitalize", "{{ 'abc'.capitalize() }}", "Abc"),
    ("methods of strings", "count", "{{ 'aba'.count('a') }}", "2"),
    ("methods of strings", "endswith", "{{ os.version.endswith('2') }}", "True"),
    ("methods of strings", "find", "{{ 'abc'.find('c') }}", "2"),
    ("methods of strings", "format", "{{ '{}-{:03}'.format(os.id, 7) }}", "debian-007"),
    ("methods of strings", "isalnum", "{{ 'a1'.isalnum() }}", "True"),
    ("methods of strings", "isalpha", "{{ 'a1'.isalpha() }}", "False"),
    ("methods of strings", "isascii", "{{ 'a'.isascii() }}", "True"),
    ("methods of strings", "isdigit", "{{ size.isdigit() }}", "True"),
    ("methods of strings", "islower", "{{ 'a'.islower() }}", "True"),
    ("methods of strings", "isnumeric", "{{ '1'.isnumeric() }}", "True"),
    ("methods of strings", "isspace", "{{ ' '.isspace() }}", "True"),
    ("methods of strings", "isupper", "{{ 'a'.isupper() }}", "False"),
    ("methods of strings", "join", "{{ ','.join(['a', 'b']) }}", "a,b"),
    ("methods of strings", "lower", "{{ 'A'.lower() }}", "a"),
    ("methods of strings", "lstrip", "{{ 'xa'.lstrip('x') }}", "a"),
    ("methods of strings", "replace", "{{ 'a.b'.replace('.', '-') }}", "a-b"),
    ("methods of strings", "rfind", "{{ 'aba'.rfind('a') }}", "2"),
    ("methods of strings", "rstrip", "{{ 'ax'.rstrip('x') }}", "a"),
    ("methods of strings", "split", "{{ '24.04'.split('.')[0] }}", "24"),
    ("methods of strings", "splitlines", "{{ 'a\nb'.splitlines() | last }}", "b"),
    ("methods of strings", "startswith", "{{ os.id.startswith('deb') }}", "True"),
    ("methods of strings", "strip", "{{ ' a '.strip() }}", "a"),
    ("methods of strings", "title", "{{ 'a b'.title() }}", "A B"),
    ("methods of strings", "upper", "{{ os.id.upper() }}", "DEBIAN"),
    ("methods of mappings", "get", "{{ os.get('id') }}", "debian"),
    ("methods of mappings", "items", "{{ {'a': 1}.items() | first | last }}", "1"),
    ("methods of mappings", "keys", "{{ {'a': 1}.keys() | first }}", "a"),
    ("methods of mappings", "values", "{{ {'a': 1}.values() | first }}", "1"),
    ("methods of lists", "count", "{{ [1, 1, 2].count(1) }}", "2"),
    ("operators", "+", "{{ 1 + 2 }}", "3"),
    ("operators", "-", "{{ 3 - 2 }}", "1"),
    ("operators", "*", "{{ 3 * 2 }}", "6"),
    ("operators", "/", "{{ 3 / 2 }}", "1.5"),
    ("operators", "//", "{{ 3 // 2 }}", "1"),
    ("operators", "%", "{{ 7 % 4 }}", "3"),
    ("operators", "**", "{{ 2 ** 10 }}", "1024"),
    ("operators", "~", "{{ os.id ~ '-' ~ 12 }}", "debian-12"),
    ("operators", "==", "{{ 1 == 1 }}", "True"),
    ("operators", "!=", "{{ 1 != 1 }}", "False"),
    ("operators", "<", "{{ 1 < 2 }}", "True"),
    ("operators", "<=", "{{ 1 <= 1 }}", "True"),
    ("operators", ">", "{{ 1 > 2 }}", "False"),
    ("operators", ">=", "{{ 1 >= 1 }}", "True"),
    ("operators", "and", "{{ true and false }}", "False"),
    ("operators", "or", "{{ true or false }}", "True"),
    ("operators", "not", "{{ not true }}", "False"),
    ("operators", "in", "{{ 'a' in ['a'] }}", "True"),
    ("operators", "is", "{{ 1 is odd }}", "True"),
    ("operators", "if … else", "{{ 'a' if os.id == 'debian' else 'b' }}", "a"),
    ("operators", "x[a:b]", "{{ os.id[0:3] }}", "deb"),
    ("statements", "if", "{% if false %}a{% elif os.family == 'debian' %}b{% else %}c{% endif %}", "b"),
    ("statements", "for", "{% for x in [1, 2] if x > 1 %}{{ loop.index }}{{ x }}{% else %}none{% endfor %}", "12"),
    ("statements", "break", "{% for x in [1, 2] %}{{ x }}{% break %}{% endfor %}", "1"),
    ("statements", "continue", "{% for x in [1, 2] %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}", "2"),
    ("statements", "set", "{% set a = 1 %}{{ a }}", "1"),
    ("statements", "with", "{% with a = 1 %}{{ a }}{% endwith %}", "1"),
    ("statements", "filter", "{% filter upper %}a{% endfilter %}", "A"),
    ("statements", "macro", "{% macro m(a) %}<{{ a }}>{% endmacro %}{{ m(1) }}", "<1>"),
    ("statements", "call", "{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}a{% endcall %}", "<a>"),
    ("statements", "do", "{% do range(1) %}a", "a"),
    ("statements", "raw", "{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
];

/// Names in backticks in the row of a kind in the documentation's table.
fn documented(kind: &str) -> BTreeSet<String> {
    let page = include_str!("../../docs/recipes.md");
    let start = format!("| {kind} | ");
    let row = page.lines().find_map(|line| line.strip_prefix(start.as_str()));
    let row = row.unwrap_or_else(|| panic!("no row `{kind}`"));
    row.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn everything_documented_works_and_is_tested() {
    let wrong: Vec<_> = TABLE
        .iter()
        .map(|(kind, name, template, wanted)| (kind, name, wanted, evaluate(template)))
        .filter(|(_, _, wanted, found)| found.as_deref().ok() != Some(wanted))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let kinds: BTreeSet<&str> = TABLE.iter().map(|(kind, ..)| *kind).collect();
    for kind in kinds {
        let of_kind = TABLE.iter().filter(|(k, ..)| *k == kind);
        let tested: BTreeSet<String> = of_kind.map(|(_, name, ..)| (*name).to_owned()).collect();
        assert_eq!(documented(kind), tested, "{kind}");
    }
}

#[test]
fn what_the_documentation_says_is_missing_is_missing() {
    for name in documented("filters that are not there") {
        assert_eq!(evaluate(&format!("{{{{ '{name}' is filter }}}}")).unwrap(), "False", "{name}");
    }
    for (template, part) in [
        ("{{ os.id.zfill(3) }}", "has no method named zfill"),
        ("{{ 'a' | nope }}", "filter nope is unknown"),
        ("{{ '%s' % 'a' }}", "invalid operation"),
        ("{% include 'a' %}", "unknown statement include"),
    ] {
        let message = evaluate(template).unwrap_err().to_string();
        assert!(message.starts_with("x.toml:6: `file.text`: ") && message.contains(part), "{message}");
    }
}
