# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The expressions of workflows mean here what GitHub's documentation says they mean."""

from __future__ import annotations

import pytest

from tests.workflow.expressions import Scope, condition, evaluate, interpolate
from tests.workflow.values import ExpressionError, Value

FRUITS: list[Value] = [{"name": "apple", "quantity": 1}, {"name": "orange", "quantity": 2}, {"name": "pear"}]
SCOPE = Scope(
    {
        "github": {"ref": "refs/heads/main", "event_name": "push", "event": {"inputs": {"dry": "true"}}},
        "inputs": {"dry": False, "count": 3},
        "needs": {"build": {"result": "success", "outputs": {"digest": "sha256:1"}}, "scan": {"result": "failure"}},
        "env": {"my-name": "x", "EMPTY": ""},
        "vars": {},
        "fruits": FRUITS,
    }
)
FINE = SCOPE.calling(success=lambda: True, failure=lambda: False, always=lambda: True, cancelled=lambda: False)
BROKEN = SCOPE.calling(success=lambda: False, failure=lambda: True, always=lambda: True, cancelled=lambda: False)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("null", None),
        ("false", False),
        ("711", 711),
        ("-9.2", -9.2),
        ("0xff", 255),
        ("0o17", 15),
        ("-2.99e-2", -0.0299),
        ("'It''s open source!'", "It's open source!"),
        ("''", ""),
    ],
)
def test_literals(expression: str, value: Value) -> None:
    assert evaluate(expression, SCOPE) == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        # Other types than one another become numbers.
        ("null == 0", True),
        ("null == ''", True),
        ("null == false", True),
        ("true == 1", True),
        ("true == '1'", True),
        ("true == 'true'", False),
        ("false == ''", True),
        ("'' == 0", True),
        ("' 1 ' == 1", True),
        ("'0x10' == 16", True),
        ("'1e3' == 1000", True),
        ("'one' == 1", False),
        ("'one' != 1", True),
        ("'one' < 1", False),
        ("'one' >= 1", False),
        ("null >= null", True),
        ("null < null", False),
        ("true > false", True),
        # Strings are compared as strings, whatever their case.
        ("'Main' == 'mAIN'", True),
        ("'10' < '9'", True),
        ("10 < 9", False),
        ("'a' < 'B'", True),
        ("'_' > 'Z'", True),
        # Objects and lists are equal to themselves only.
        ("github == github", True),
        ("github.event == needs", False),
        ("fruits == 'Array'", False),
        ("fromJSON('[1]') == fromJSON('[1]')", False),
        ("fruits == null", False),
    ],
)
def test_comparisons_coerce(expression: str, value: bool) -> None:
    assert evaluate(expression, SCOPE) is value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 && 'two'", "two"),
        ("0 && 'two'", 0),
        ("'' || 'otherwise'", "otherwise"),
        ("github.ref == 'refs/heads/main' && 'production' || 'staging'", "production"),
        ("github.ref == 'refs/heads/other' && 'production' || 'staging'", "staging"),
        ("true && '' || 'the trap of && and ||'", "the trap of && and ||"),
        ("false || false && true", False),
        ("true || true && false", True),
        ("!true || true", True),
        ("!(true || true)", False),
        ("!!'x'", True),
        ("1 < 2 == true", True),
        ("!'' == true", True),
        ("!github.event", False),
        ("!fromJSON('[]')", False),
        ("!fromJSON('{}')", False),
        ("!'false'", False),
        ("!'0'", False),
        ("!0", True),
        ("inputs.dry || 'no'", "no"),
    ],
)
def test_operators_bind_as_documented_and_return_values(expression: str, value: Value) -> None:
    assert evaluate(expression, SCOPE) == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("github.ref", "refs/heads/main"),
        ("github['ref']", "refs/heads/main"),
        ("GitHub.REF", "refs/heads/main"),
        ("github['REF']", "refs/heads/main"),
        ("needs.build.outputs.digest", "sha256:1"),
        ("needs['build'].outputs['digest']", "sha256:1"),
        ("env.my-name", "x"),
        ("github.nothing", None),
        ("github.nothing.at.all", None),
        ("github.ref.length", None),
        ("vars.ATTEST == 'true'", False),
        ("fruits[1].name", "orange"),
        ("fruits[7].name", None),
        ("fruits['1'].name", "orange"),
        ("fruits.*.name", ["apple", "orange", "pear"]),
        ("fruits.*.quantity", [1, 2]),
        ("fruits[*].name", ["apple", "orange", "pear"]),
        ("needs.*.result", ["success", "failure"]),
        ("contains(needs.*.result, 'failure')", True),
        ("github.ref.*", []),
    ],
)
def test_properties_are_found_and_what_is_missing_is_null(expression: str, value: Value) -> None:
    assert evaluate(expression, SCOPE) == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("contains('Hello world', 'LLO')", True),
        ("contains('abc', '')", True),
        ('contains(fromJSON(\'["push", "pull_request"]\'), github.event_name)', True),
        ("contains(fromJSON('[\"pushed\"]'), 'push')", False),
        ("contains(fromJSON('[1, null]'), '1')", True),
        ("contains(github, 'ref')", ExpressionError),
        ("startsWith(github.ref, 'REFS/heads/')", True),
        ("endsWith('Hello world', 'LD')", True),
        ("startswith('a', 'b')", False),
        ("format('Hello {0} {1} {0}', 'Mona', true)", "Hello Mona true Mona"),
        ("format('{{Hello {0}!}}', 'Mona')", "{Hello Mona!}"),
        ("format('{0}', null)", ""),
        ("format('{1}', 'one')", ExpressionError),
        ("format('{', 'one')", ExpressionError),
        ("join(fruits.*.name, ' ')", "apple orange pear"),
        ("join(fruits.*.name)", "apple,orange,pear"),
        ("join('alone', '-')", "alone"),
        ("fromJSON('{\"a\": [1, 2]}').a[1]", 2),
        ("fromJSON('true')", True),
        ("fromJSON('3') > 2", True),
        ("fromJSON('not json')", ExpressionError),
        ("fromJSON('NaN')", ExpressionError),
        ("toJSON(inputs)", '{\n  "dry": false,\n  "count": 3\n}'),
        ("toJSON('é')", '"é"'),
        ("toJSON(null)", "null"),
        ("toJSON(1)", "1"),
    ],
)
def test_functions(expression: str, value: Value | type[ExpressionError]) -> None:
    if value is ExpressionError:
        with pytest.raises(ExpressionError):
            evaluate(expression, SCOPE)
    else:
        assert evaluate(expression, SCOPE) == value


@pytest.mark.parametrize(
    "expression",
    [
        "nothing",
        "nothing.at.all",
        "true || nothing",
        "false && nothing",
        "nothing()",
        "true || nothing()",
        "True",
        "secrets.X",
        "success()",
        "hashFiles('x')",
        '"double"',
        "'open",
        "1 +1",
        "1.2.3",
        "0xfg",
        "a = b",
        "github.",
        "github[0",
        "(true",
        "true)",
        "true false",
        "&& true",
        "! ",
        "",
        "contains('a')",
        "contains('a', 'b', 'c')",
        "format('alone')",
        "contains('a' 'b')",
        "github.5",
    ],
)
def test_what_github_refuses_is_refused(expression: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(expression, SCOPE)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("plain", "plain"),
        (True, True),
        (None, None),
        ("${{ inputs.dry }}", False),
        ("${{inputs.count}}", 3),
        ("${{ github.event }}", {"inputs": {"dry": "true"}}),
        ("dry: ${{ inputs.dry }}, count: ${{ inputs.count }}.", "dry: false, count: 3."),
        ("${{ github.nothing }}", None),
        ("<${{ github.nothing }}>", "<>"),
        ("${{ '}}' }}", "}}"),
        ("${{ '${{' }} and ${{ 'it''s }}' }}", "${{ and it's }}"),
        ("${{ 1.50 }} ${{ 1e21 }} ${{ 0.1 }} ${{ 100000 }}", "1.5 1E+21 0.1 100000"),
        ("${{\n  inputs.count\n}}", 3),
    ],
)
def test_templates_keep_the_type_of_a_lone_expression(source: Value, value: Value) -> None:
    assert interpolate(source, SCOPE) == value


@pytest.mark.parametrize("source", ["${{ github", "a ${{ 'b }} c", "text: ${{ github }}", "text: ${{ fruits }}"])
def test_templates_that_make_no_text_are_refused(source: str) -> None:
    with pytest.raises(ExpressionError):
        interpolate(source, SCOPE)


@pytest.mark.parametrize(
    ("source", "after_success", "after_failure"),
    [
        (None, True, False),
        ("", True, False),
        (True, True, False),
        (False, False, False),
        ("github.event_name == 'push'", True, False),
        ("${{ github.event_name == 'push' }}", True, False),
        ("github.event_name == 'schedule'", False, False),
        ("always()", True, True),
        ("${{ always() }}", True, True),
        ("Always()", True, True),
        ("failure()", False, True),
        ("!failure()", True, False),
        ("!cancelled()", True, True),
        ("success() || failure()", True, True),
        ("always() && github.event_name == 'schedule'", False, False),
        ("failure() && needs.scan.result == 'failure'", False, True),
        # The name of a function in a string calls nothing.
        ("'always()' != ''", True, False),
        ("false && always()", False, False),
        ("'false'", True, False),
    ],
)
def test_conditions_imply_success(source: Value, after_success: bool, after_failure: bool) -> None:
    assert (condition(source, FINE), condition(source, BROKEN)) == (after_success, after_failure)


@pytest.mark.parametrize("source", ["${{ false }} && true", "!${{ true }}", "nothing", "success('build')", "secrets.X"])
def test_conditions_that_only_look_like_ones_are_refused(source: str) -> None:
    with pytest.raises(ExpressionError):
        condition(source, FINE)
