// Checks of the page as it is shown. Each returns a list of errors.

globalThis.seen = {
  /** Run axe-core with all rules except those of WCAG level AAA. */
  async violations() {
    const rules = axe.getRules().filter((rule) => !rule.tags.includes("wcag2aaa"));
    const enabled = Object.fromEntries(rules.map((rule) => [rule.ruleId, { enabled: true }]));
    const run = await axe.run({ rules: enabled, resultTypes: ["violations"], preload: false });
    return run.violations.flatMap((broken) =>
      broken.nodes.map((node) => `${broken.id}: ${node.failureSummary} ${node.html}`),
    );
  },

  /** Find text outside the page, horizontal scrolling, and clipped content. */
  misfits() {
    const root = document.documentElement;
    const wide = root.scrollWidth > root.clientWidth ? [`scrolls sideways: ${root.scrollWidth}px`] : [];
    const outside = seen
      .texts()
      .filter(({ boxes }) => boxes.some((box) => box.left < -0.5 || box.right > root.clientWidth + 0.5));
    const clipped = [...document.body.querySelectorAll("*")].filter(
      (element) =>
        getComputedStyle(element).overflow !== "visible" &&
        (element.scrollWidth > element.clientWidth || element.scrollHeight > element.clientHeight),
    );
    return [
      ...wide,
      ...outside.map(({ text }) => `outside: ${text}`),
      ...clipped.map((element) => `cut off: ${element.outerHTML}`),
    ];
  },

  /** Find dark backgrounds and pale text. */
  unprintable() {
    const white = ["rgb(255, 255, 255)", "rgba(0, 0, 0, 0)"];
    const dark = [...document.querySelectorAll("*")].filter(
      (element) => !white.includes(getComputedStyle(element).backgroundColor),
    );
    const pale = seen.texts().filter(({ element }) => seen.lightness(getComputedStyle(element).color) > 0.4);
    return [...dark.map((element) => `not on white: ${element.tagName}`), ...pale.map(({ text }) => `pale: ${text}`)];
  },

  /** Find animations and transitions. */
  movements() {
    const moving = [...document.querySelectorAll("*")].filter((element) => {
      const style = getComputedStyle(element);
      const transitions = style.transitionDuration.split(", ").some((duration) => parseFloat(duration) > 0.01);
      return transitions || style.animationName !== "none" || style.scrollBehavior === "smooth";
    });
    return moving.map((element) => `moves: ${element.outerHTML}`);
  },

  /** Reset the text size, the selection and the focus. */
  rest() {
    document.documentElement.style.fontSize = "";
    getSelection().empty();
    document.activeElement.blur();
    scrollTo(0, 0);
  },

  /** Return the rectangle around the focused element. */
  focused() {
    const { left, top, width, height } = document.activeElement.getBoundingClientRect();
    return { x: Math.max(left - 8, 0), y: Math.max(top - 8, 0), width: width + 16, height: height + 16 };
  },

  /** Find elements that ignore forced colors, and text in the color of the background. */
  unforced() {
    const own = [...document.querySelectorAll("*")].filter(
      (element) => getComputedStyle(element).forcedColorAdjust === "none",
    );
    const ground = getComputedStyle(document.body).backgroundColor;
    const hidden = seen.texts().filter(({ element }) => getComputedStyle(element).color === ground);
    return [
      ...(matchMedia("(forced-colors: active)").matches ? [] : ["colors are not forced"]),
      ...own.map((element) => `ignores forced colors: ${element.outerHTML}`),
      ...hidden.map(({ text }) => `hidden: ${text}`),
    ];
  },

  /** Return every piece of text with its element and its boxes. */
  texts() {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found = [];
    while (walker.nextNode()) {
      const range = document.createRange();
      range.selectNodeContents(walker.currentNode);
      const text = walker.currentNode.data.trim();
      if (text) found.push({ text, element: walker.currentNode.parentElement, boxes: [...range.getClientRects()] });
    }
    return found;
  },

  /** Return the lightness of a color, from 0 (black) to 1 (white). */
  lightness(color) {
    return Math.max(...color.match(/[\d.]+/g).slice(0, 3)) / 255;
  },
};
