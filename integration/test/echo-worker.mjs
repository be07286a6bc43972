process.on('message', (message) => {
  if (message === 'crash') {
    throw new Error('crashed as told');
  }
  process.send({ echo: message, argument: process.argv[2] });
});
process.send({ ready: true });
