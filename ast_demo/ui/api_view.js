// Gradio loads what it says of the endpoints when its own button is pressed, and not for `/?view=api`, which it takes for
// open already; on a phone it hides the button. Here the address works, and so does a link of the page's own.
(() => {
    const asked = () => new URLSearchParams(location.search).get('view') === 'api'
    const button = () => document.querySelector('footer .show-api')
    const show = () => {
        if (asked()) button()?.click()  // closes what is open
        button()?.click()
    }
    addEventListener('click', event => {
        if (!event.target.closest?.('.to-api')) return
        event.preventDefault()
        show()
    })
    if (!asked()) return
    const waiting = new MutationObserver(() => {
        if (!button()) return
        waiting.disconnect()
        setTimeout(show)
    })
    waiting.observe(document, {childList: true, subtree: true})
})()
