// A file that is too large is refused here, with a sentence, before any of it is sent; the server refuses it too.
(limitMb => {
    const refuse = (event, files) => {
        const place = event.target.closest?.('.block')
        place?.parentElement.querySelectorAll(':scope > .too-large').forEach(old => old.remove())
        const large = [...(files ?? [])].find(file => file.size > limitMb * 1e6)
        if (!large) return
        event.preventDefault()
        event.stopImmediatePropagation()
        if (event.target.matches('input')) event.target.value = ''  // so that the same file can be chosen again
        const sentence = document.createElement('p')
        sentence.className = 'too-large'
        sentence.setAttribute('role', 'alert')
        sentence.textContent =
            `“${large.name}” has ${(large.size / 1e6).toFixed(1)} MB. At most ${limitMb} MB are accepted here: choose a smaller file.`
        place?.after(sentence)
    }
    addEventListener('change', event => event.target.matches?.('input[type=file]') && refuse(event, event.target.files), true)
    addEventListener('drop', event => refuse(event, event.dataTransfer?.files), true)
})(LIMIT_MB)
