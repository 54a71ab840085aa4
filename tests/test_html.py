import base64
import gzip
import hashlib
import io
import re
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import pytest
from glb import Glb
from motions import CAPTION, standing, waving
from PIL import Image

from duomotion.formats import gltf, html


class Page(HTMLParser):
    """Collects the page's elements and the text of its scripts and its title."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.texts.append("")

    def handle_endtag(self, tag):
        self.elements.append(("/" + tag, {}))
        self.texts.append("")

    def handle_data(self, data):
        if self.texts:
            self.texts[-1] += data

    def find(self, tag: str) -> list[tuple[dict, str]]:
        return [
            (attributes, text)
            for (name, attributes), text in zip(self.elements, self.texts, strict=True)
            if name == tag
        ]


@pytest.fixture(scope="module")
def clip():
    return waving(frames=30)


@pytest.fixture(scope="module")
def page(clip):
    return Page(html.page(clip))


def embedded(page: Page) -> bytes:
    (text,) = [text for attributes, text in page.find("script") if attributes.get("id") == "clip"]
    return gzip.decompress(base64.b64decode(text))


def test_embedded_motion_is_the_motion(clip, page):
    glb = Glb(embedded(page))
    assert len(glb.times) == clip.num_frames
    for frame in range(0, clip.num_frames, 5):
        np.testing.assert_allclose(glb.joints(frame), clip.positions[:, frame], atol=1e-3)
    assert embedded(page) == gltf.encode(clip)


def test_captions_stay_text(clip, page):
    assert len(page.find("script")) == 3
    ((_, title),) = page.find("title")
    assert title == CAPTION
    assert "alert('x')" not in html.page(clip)
    assert Glb(embedded(page)).gltf.asset.extras["caption"] == CAPTION


@pytest.mark.parametrize(
    "caption",
    ["", "{{clip}} {{library}}", "<!--<script>", "\ud800 half a character", "]]>\x00", "a" * 5000],
)
def test_any_caption_gives_a_whole_page(caption, tmp_path):
    path = tmp_path / "page.html"
    html.write(standing(frames=2).with_caption(caption), path)
    page = Page(path.read_text(encoding="utf-8"))
    assert len(page.find("script")) == 3
    assert len(Glb(embedded(page)).times) == 2


def test_only_the_pages_own_scripts_may_run_and_nothing_may_be_fetched(page):
    policies = [a["content"] for a, _ in page.find("meta") if "http-equiv" in a]
    (policy,) = policies
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert "connect-src" not in rules
    scripts = [text for attributes, text in page.find("script") if not attributes.get("type")]
    hashes = {
        "'sha256-" + base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() + "'"
        for s in scripts
    }
    assert set(rules["script-src"].split()) == hashes
    for _, attributes in page.elements:
        assert not {"src", "href"} & attributes.keys()


def test_bundle_can_stand_in_a_page():
    bundle = (files("duomotion.formats") / "assets/player.js").read_text(encoding="utf-8")
    assert not re.search(r"</script|<!--", bundle, re.IGNORECASE)
    assert "three.js authors" in bundle[:300]


def test_ten_seconds_fit_in_little_more_than_a_megabyte():
    assert len(html.page(waving(frames=300))) < 1.2e6


def wait_for(view, expression: str, seconds: float = 30) -> None:
    """Playwright's own waiting needs eval, which the page's policy forbids."""
    for _ in range(int(seconds * 20)):
        if view.evaluate(expression):
            return
        view.wait_for_timeout(50)
    raise TimeoutError(expression)


@pytest.fixture(scope="module")
def view(browser, clip, tmp_path_factory):
    """The open page, paused at its first frame, and what the browser complained about."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    html.write(clip, path)
    context = browser.new_context(
        viewport={"width": 480, "height": 360}, reduced_motion="reduce", offline=True
    )
    view = context.new_page()
    view.complaints = []
    view.on("console", lambda m: m.type in ("error", "warning") and view.complaints.append(m.text))
    view.on("pageerror", lambda error: view.complaints.append(str(error)))
    view.on("dialog", lambda dialog: (view.complaints.append("dialog"), dialog.dismiss()))
    view.goto(path.as_uri())
    wait_for(view, "Boolean(window.player)")
    yield view
    context.close()


def test_three_js_shows_the_joints_where_they_are(view, clip):
    assert view.evaluate("player.numFrames") == clip.num_frames
    for frame in (0, 17, clip.num_frames - 1):
        joints = view.evaluate(f"player.seek({frame}), player.joints()")
        np.testing.assert_allclose(joints, clip.positions[:, frame], atol=1e-3)
    assert view.complaints == []


def test_caption_and_legend_are_shown(view):
    assert view.locator("h1").text_content() == CAPTION
    assert view.locator(".duo-legend button").all_text_contents() == ["A", "B"]


def test_space_plays_and_arrows_step(view, clip):
    view.evaluate("player.seek(0)")
    view.locator(".duo").focus()
    view.keyboard.press("ArrowRight")
    view.keyboard.press("ArrowRight")
    assert view.evaluate("player.frame") == 2
    view.keyboard.press("End")
    assert view.evaluate("player.frame") == clip.num_frames - 1
    assert view.locator("output").get_attribute("data-frames") == "30 / 30"
    view.keyboard.press("Home")
    view.keyboard.press(" ")
    wait_for(view, "player.frame > 2")
    assert view.evaluate("player.playing")
    view.keyboard.press(" ")
    stopped = view.evaluate("player.frame")
    view.wait_for_timeout(150)
    assert view.evaluate("player.frame") == stopped


def test_scrub_bar_seeks(view):
    view.get_by_role("slider", name="Frame").fill("11")
    assert view.evaluate("player.frame") == 11
    assert not view.evaluate("player.playing")


def test_picture_shows_both_people_and_changes(view):
    def shot(frame: int) -> np.ndarray:
        view.evaluate(f"player.seek({frame})")
        view.wait_for_timeout(250)
        picture = Image.open(io.BytesIO(view.locator(".duo").screenshot())).convert("RGB")
        return np.asarray(picture, dtype=int)[60:240]

    first, later = shot(0), shot(20)
    red, _, blue = first.transpose(2, 0, 1)
    assert (red - blue > 60).sum() > 300
    assert (blue - red > 60).sum() > 300
    assert (np.abs(first - later).max(-1) > 60).sum() > 300
    view.get_by_role("button", name="Skeleton").click()
    bones = shot(0)
    assert 50 < (bones[..., 0] - bones[..., 2] > 60).sum() < 0.6 * (red - blue > 60).sum()
    view.get_by_role("button", name="Body").click()
    assert view.complaints == []


def test_keys_work_without_a_click(view):
    view.evaluate("document.activeElement.blur(), player.seek(0)")
    assert view.evaluate("document.activeElement === document.body")
    view.keyboard.press("ArrowRight")
    assert view.evaluate("player.frame") == 1


def test_question_mark_lists_the_keys(view):
    view.evaluate("document.activeElement.blur()")
    view.keyboard.press("?")
    sheet = view.get_by_role("dialog", name="Keys")
    assert "Play or pause" in sheet.text_content()
    assert sheet.is_visible()
    view.keyboard.press("Escape")
    assert not sheet.is_visible()
    view.keyboard.press("End")
    assert view.evaluate("player.frame") == view.evaluate("player.numFrames") - 1


@pytest.mark.parametrize("size", [(320, 568), (568, 320)])
def test_everything_fits_on_a_small_phone(view, size):
    view.set_viewport_size({"width": size[0], "height": size[1]})
    view.wait_for_timeout(100)
    outside = view.evaluate(
        """[...document.querySelectorAll(".duo button, .duo select, .duo input")].filter((item) => {
            const { left, right, top, bottom } = item.getBoundingClientRect();
            return left < 0 || top < 0 || right > innerWidth || bottom > innerHeight;
        }).map((item) => item.ariaLabel)"""
    )
    assert outside == []
    assert view.evaluate("document.documentElement.scrollWidth") <= size[0]


def colourful(view) -> np.ndarray:
    """(H, W) bool: where the picture shows a person."""
    picture = Image.open(io.BytesIO(view.locator(".duo").screenshot())).convert("RGB")
    red, _, blue = np.asarray(picture, dtype=int).transpose(2, 0, 1)
    return np.abs(red - blue) > 60


def test_turning_the_phone_fits_the_people_anew(view):
    view.evaluate("player.seek(0)")
    for size in ((320, 640), (640, 320), (320, 640)):
        view.set_viewport_size({"width": size[0], "height": size[1]})
        view.wait_for_timeout(300)
        shown = colourful(view)
        assert 0.003 < shown.mean() < 0.3
        assert not shown[:, [0, 1, -2, -1]].any()
        view.mouse.move(160, 160)
        view.mouse.wheel(0, -600)  # the user comes nearer
        view.wait_for_timeout(300)


def test_bad_data_says_so(view):
    view.evaluate(
        """duomotion.mount(document.body.appendChild(document.createElement("div")),
        new ArrayBuffer(8)).catch(() => {})"""
    )
    assert "can't be shown" in view.get_by_role("alert").text_content()


def test_the_player_runs_inside_of_another_page(browser, tmp_path):
    path = tmp_path / "notebook.html"
    path.write_text(f"<!doctype html><body>{waving()._repr_html_()}</body>", encoding="utf-8")
    context = browser.new_context(viewport={"width": 640, "height": 520}, offline=True)
    outer = context.new_page()
    outer.goto(path.as_uri())
    inner = outer.frames[1]
    wait_for(inner, "Boolean(window.player)")
    assert inner.evaluate("player.numFrames") == waving().num_frames
    assert outer.evaluate("document.querySelector('iframe').contentDocument") is None
    outer.screenshot(path=tmp_path / "notebook.png")
    context.close()
