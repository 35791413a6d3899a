"""Of a large style sheet only what our pages can meet is served."""

from __future__ import annotations

import pytest

from services.console import assets
from services.console.pruning import classes_of, pruned


@pytest.mark.parametrize(
    ("css", "kept"),
    [
        (".a{x:1}.b{x:2}", ".a{x:1}"),
        (".a,.b,p{x:1}", ".a,p{x:1}"),
        (".a .b{x:1}.a>.a:hover{x:2}", ".a>.a:hover{x:2}"),
        (".a:not(.b){x:1}", ".a:not(.b){x:1}"),
        (".a:is(.b,:not(.c)),.b:is(.a){x:1}", ".a:is(.b,:not(.c)){x:1}"),
        ("@media print{.b{x:1}}@media print{.a{x:1}.b{x:2}}", "@media print{.a{x:1}}"),
        ("@keyframes k{0%{x:1}to{x:2}}", "@keyframes k{0%{x:1}to{x:2}}"),
        ('@charset "utf-8";.b{x:1}', '@charset "utf-8";'),
        ('.a{content:"}.b{"}.b{x:1}', '.a{content:"}.b{"}'),
        ("/*! of } them */.a{x:1}", "/*! of } them */.a{x:1}"),
        (".col-1\\.5{x:1}[class*=b]{x:2}", "[class*=b]{x:2}"),
    ],
)
def test_rules_that_need_an_unknown_class_are_left_out(css: str, kept: str) -> None:
    assert pruned(css, {"a"}) == kept


def test_a_sheet_names_its_classes() -> None:
    assert classes_of(".a:hover .b{x:1}@media print{.c{x:1}}p{}") == {"a", "b"}


def test_what_is_served_of_tabler_holds_its_notice_and_all_that_we_use() -> None:
    sheet, whole = assets.tabler(), (assets.STATIC / "vendor" / "tabler.min.css").read_text("utf-8")
    assert "Licensed under MIT" in sheet[:400]
    assert len(sheet) < len(whole) / 3
    assert sheet.count("{") == sheet.count("}")
    for rule in (".btn{", ".form-control{", ".visually-hidden", ".form-check-input:checked"):
        assert rule in sheet
