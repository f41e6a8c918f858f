// Focus stays where a visitor has put it. Gradio drops it: a button that starts something is disabled while it has the
// focus, a dropdown lets go of it when Enter is pressed, a panel is hidden with the button that closes it. A keyboard then
// starts again from the top of the page, and a screen reader falls silent.
(() => {
    let last = null; // what has the focus, or had it until Gradio took it away
    let around = []; // its ancestors, as it may be gone from the page by then
    let silent = false; // a dropdown that hears of its focus would open
    let asleep = null; // what has its focus back and was not told of it: a dropdown takes nothing that is typed until it is

    const seen = (element) => element.isConnected && element.getClientRects().length > 0;
    const takes = (element) => seen(element) && !element.disabled && element.tabIndex >= 0;

    document.addEventListener("focusin", (event) => {
        last = event.target;
        asleep = silent ? last : null;
        around = [];
        for (let outer = last.parentElement; outer; outer = outer.parentElement) around.push(outer);
    });
    // Who clicks on nothing takes the focus away on purpose.
    document.addEventListener("pointerdown", () => { last = null; }, true);
    window.addEventListener("focus", (event) => { if (silent) event.stopImmediatePropagation(); }, true);

    const focus = (element) => {
        silent = true;
        element.focus({ preventScroll: true });
        silent = false;
    };

    const wake = (event) => {
        if (!asleep || event.target !== asleep || event.key === "Tab") return;
        asleep = null;
        event.target.dispatchEvent(new FocusEvent("focus"));
    };
    for (const use of ["keydown", "input", "pointerdown"]) document.addEventListener(use, wake, true);

    const giveBack = () => {
        const active = document.activeElement;
        const lost = !active || active === document.body || (active === last && !takes(last) && last.disabled);
        if (!last || !lost) return;
        if (takes(last)) {
            focus(last);
            return;
        }
        for (const outer of around) {
            if (!seen(outer) || outer === document.body) continue;
            // A neighbour, such as Stop beside what has started; or else the place itself.
            const near = [...outer.querySelectorAll("button, input, textarea, a[href]")].find((one) => one !== last && takes(one));
            if (near && outer.classList.contains("row")) {
                focus(near);
                return;
            }
            if (outer.classList.contains("row")) continue;
            if (!outer.hasAttribute("tabindex")) outer.setAttribute("tabindex", "-1");
            focus(outer);
            return;
        }
    };
    const soon = () => setTimeout(giveBack, 60); // a neighbour may be enabled a moment later

    document.addEventListener("focusout", (event) => { if (!event.relatedTarget) soon(); });
    new MutationObserver(() => { if (last && !takes(last)) soon(); }).observe(document.documentElement, {
        subtree: true,
        childList: true,
        attributes: true,
        attributeFilter: ["disabled", "class", "style", "hidden"],
    });
})();

// Where there is no picture yet, Gradio names the place but does not say what it is: then the name is heard by nobody.
(() => {
    const nameless = ".empty[aria-label]:not([role])";
    const mend = () => document.querySelectorAll(nameless).forEach((place) => place.setAttribute("role", "img"));
    new MutationObserver(mend).observe(document.documentElement, { subtree: true, childList: true });
})();
